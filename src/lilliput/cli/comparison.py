"""The table of a comparison, for the terminal."""

from rich.table import Table

from lilliput.cli.tables import Column, fitted
from lilliput.core.amounts import bytes_text
from lilliput.report.comparison import speed_text
from lilliput.report.numbers import MetricStyle, count_text
from lilliput.report.verdict import lead_text, score_text
from lilliput.search.contest.comparison import Comparison

__all__ = ["arms_table"]


def arms_table(found: Comparison, style: MetricStyle, width: int) -> Table:
    """One row for the original and each arm."""
    rows = (found.original, *found.rows)
    is_tested = found.original.test_metric is not None
    unit = f",{style.points}" if style.points else ""
    tested = [score_text(row.test_metric, style) for row in rows]
    epochs = ["" if row.epochs is None else f"{row.epochs:,}" for row in rows]
    columns = [
        Column("arm", [row.arm for row in rows]),
        Column("epochs", epochs, 1, is_number=True),
        Column(f"{found.metric} (test)", tested),
        Column(
            f"{found.metric} (validation)",
            [score_text(row.metric, style) for row in rows],
            4 if is_tested else 0,
        ),
        Column(f"pruned leads by{unit}", [lead_text(row, style) for row in rows]),
        Column("size", [bytes_text(row.size.value) for row in rows], 1, is_number=True),
        Column("MACs", [count_text(float(row.macs)) for row in rows], 3, is_number=True),
        Column("speed", [speed_text(row) for row in rows], 2, is_number=True),
        Column("runs", [str(len(row.runs)) if row.runs else "" for row in rows], 5, is_number=True),
    ]
    shown = columns if is_tested else [c for c in columns if c.head != f"{found.metric} (test)"]
    return fitted(shown, width)
