"""Tables for people, as wide as the terminal: the least important columns go first."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table
from rich.text import Text

from lilliput.core import Measurement
from lilliput.core.amounts import bytes_text
from lilliput.registry import Family, Variant
from lilliput.report.facts import front_cost, is_original, parent_name, size_ratio, speed, style_of
from lilliput.report.numbers import MetricStyle, interval_text, ms_text, times_text

__all__ = ["Column", "fitted", "measurements_table", "variants_table"]

_NARROWEST = 36


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Args:
        head: Its title.
        cells: One text for each row.
        rank: Columns of the highest rank are left out first; 0 always stays.
        is_number: Aligned to the right.
        wraps: Long cells may take several lines.
    """

    head: str
    cells: Sequence[str]
    rank: int = 0
    is_number: bool = False
    wraps: bool = False

    @property
    def width(self) -> int:
        """Characters it needs, and two between columns."""
        longest = max(len(self.head), *(len(cell) for cell in self.cells), 0)
        return 2 + (min(longest, _NARROWEST) if self.wraps else longest)


def fitted(columns: Sequence[Column], width: int) -> Table:
    """The table without the columns that do not fit into `width` characters, and empty ones."""
    kept = [column for column in columns if any(column.cells) or not column.rank]
    while sum(column.width for column in kept) > width and any(column.rank for column in kept):
        kept.remove(max(kept, key=lambda column: column.rank))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in kept:
        justify: Any = "right" if column.is_number else "left"
        is_whole = bool(column.rank) and not column.wraps
        table.add_column(Text(column.head), justify=justify, overflow="fold", no_wrap=is_whole)
    for row in zip(*(column.cells for column in kept), strict=True):
        table.add_row(*(Text(plain(cell)) for cell in row))
    return table


def plain(text: str) -> str:
    """A text of others, in which a terminal finds nothing to act on."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text
    )


def variants_table(family: Family, variants: Sequence[Variant], width: int) -> Table:
    """One row for each variant: what it scores, costs and saves."""
    style = style_of(family)
    on_front = {
        v.id
        for target in {v.target for v in variants}
        for v in family.front(x=front_cost(family, target), target=target)
    }
    targets = [v.target for v in variants]
    drops = [v.measurement("drop") for v in variants]
    columns = [
        Column("", ["*" if v.id in on_front else "" for v in variants], 4),
        Column("variant", [v.name for v in variants]),
        Column("id", [v.id[:8] for v in variants], 4),
        # rows of one name differ by it
        Column("target", targets, 1 if len(set(targets)) > 1 else 5),
        Column(family.metric, [_text(v, "metric", style) for v in variants], 0, is_number=True),
        Column("drop", [style.difference(d.value) if d else "" for d in drops], 1, is_number=True),
        Column("", [_drop_interval(d, style) for d in drops], 5),
        Column("size", [_text(v, "size", style) for v in variants], 0, is_number=True),
        Column("smaller", [_smaller(family, v) for v in variants], 5, is_number=True),
        Column("latency", [_text(v, "latency", style) for v in variants], 3, is_number=True),
        Column("speed", [_faster(v, "latency_ratio") for v in variants], 2, is_number=True),
        Column(
            "vs eager", [_faster(v, "latency_ratio_eager") for v in variants], 6, is_number=True
        ),
        Column("flash", [_text(v, "flash", style) for v in variants], 1, is_number=True),
        Column(
            "instructions", [_text(v, "instructions", style) for v in variants], 2, is_number=True
        ),
        Column("peak RAM", [_text(v, "peak_ram", style) for v in variants], 7, is_number=True),
        Column("test", [_text(v, "test_metric", style) for v in variants], 8, is_number=True),
        Column("weights", [str(v.details.get("weights") or "") for v in variants], 3),
        Column("from", [_from(family, v) for v in variants], 9),
    ]
    return fitted(columns, width)


def _text(variant: Variant, quantity: str, style: MetricStyle) -> str:
    found = variant.measurement(quantity)
    return "" if found is None else number_text(found, style)


def _drop_interval(drop: Measurement | None, style: MetricStyle) -> str:
    """Its ends, and the unit of both."""
    if drop is None or drop.low is None or drop.high is None:
        return style.points.strip() if drop else ""
    return f"({style.difference(drop.low)} to {style.difference(drop.high)}){style.points}"


def number_text(found: Measurement, style: MetricStyle) -> str:
    """A measurement's value with its unit."""
    if found.quantity in {"metric", "test_metric"}:
        return style.value(found.value)
    if found.quantity in {"drop", "test_drop"}:
        return style.drop(found)
    if found.quantity == "instructions":
        return f"{found.value:,.0f}"
    if found.unit == "B":
        return bytes_text(found.value)
    return ms_text(found.value) if found.unit == "ms" else f"{found.value:.4g}"


def _smaller(family: Family, variant: Variant) -> str:
    ratio = size_ratio(family, variant)
    return "" if ratio is None else times_text(ratio)


def _faster(variant: Variant, quantity: str) -> str:
    times = speed(variant, quantity)
    if times is None:
        return ""
    return f"{times_text(1 / times.value)} slower" if times.is_slower else times_text(times.value)


def _from(family: Family, variant: Variant) -> str:
    return "" if is_original(family, variant) else parent_name(family, variant)


def measurements_table(
    measurements: Sequence[Measurement], style: MetricStyle, width: int
) -> Table:
    """One row for each measurement, with its interval and how it was got."""
    rows = list(measurements)
    columns = [
        Column("quantity", [m.quantity.replace("_", " ") for m in rows]),
        Column("value", [number_text(m, style) for m in rows], is_number=True),
        Column("interval", [_interval(m, style) for m in rows], 1),
        Column("got by", [m.method for m in rows], 3),
        Column("samples", [f"{m.samples:,}" for m in rows], 4, is_number=True),
        Column("device", [m.device for m in rows], 5),
    ]
    return fitted(columns, width)


def _interval(found: Measurement, style: MetricStyle) -> str:
    if found.quantity in {"drop", "test_drop"} or found.low is None or found.high is None:
        return ""
    if found.quantity in {"metric", "test_metric"}:
        return f"({style.value(found.low)} to {style.value(found.high)})"
    return interval_text(found.low, found.high)
