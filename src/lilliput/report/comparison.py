"""The page of a comparison: one HTML file that opens without a network, and the same as JSON."""

import json
from html import escape
from pathlib import Path

from lilliput.core.amounts import bytes_text
from lilliput.report.comparison_figure import comparison_figure
from lilliput.report.drawing import drawn
from lilliput.report.files import plain, write_text
from lilliput.report.numbers import MetricStyle, count_text, times_text
from lilliput.report.style import CSS, SCRIPT
from lilliput.report.tables import settings_list, table
from lilliput.report.verdict import lead_text, score_text, style_of_comparison, verdict
from lilliput.search.contest.comparison import Comparison, Row

__all__ = ["comparison_page", "speed_text"]


def comparison_page(found: Comparison, path: str | Path) -> Path:
    """Writes a comparison as one offline HTML file, and as JSON beside it.

    Args:
        found: What to show.
        path: The HTML file to write; inside it, `comparison.html`, where it is a folder.

    Returns:
        The HTML file.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "comparison.html"
    write_text(path, _page(found))
    write_text(path.with_suffix(".json"), json.dumps(plain(found.as_dict()), indent=1) + "\n")
    return path


def speed_text(row: Row) -> str:
    """How many times faster than the original; "" where it was not timed."""
    ratio = row.latency_ratio
    return "" if ratio is None or not ratio.value > 0 else times_text(1 / ratio.value)


def _page(found: Comparison) -> str:
    from plotly.offline import get_plotlyjs

    style = style_of_comparison(found)
    title = escape(f"{found.task}: prune, or train small?")
    sections = {
        "score": ("Score against size", _picture(found, style)),
        "arms": ("Arms", _arms(found, style)),
        "left-out": ("What was left out", _left_out(found)),
        "settings": ("Settings", _settings(found)),
    }
    shown = {key: section for key, section in sections.items() if section[1]}
    links = "".join(f'<a href="#{key}">{name}</a>' for key, (name, _) in shown.items())
    bodies = "".join(
        f'<section id="{key}"><h2>{name}</h2>{body}</section>'
        for key, (name, body) in shown.items()
    )
    stopped = " (stopped before all runs were made)" if found.was_stopped else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{CSS}</style>"
        f"<script>{get_plotlyjs()}</script></head><body><main>"
        f'<header><h1>{title}</h1><p class="headline">{escape(verdict(found, style))}'
        f"<small>{escape(found.target)}{stopped}</small></p><nav>{links}</nav></header>"
        f"{bodies}</main><script>{SCRIPT}</script></body></html>\n"
    )


def _picture(found: Comparison, style: MetricStyle) -> str:
    data = "test" if found.original.test_metric else "validation"
    words = (
        f"<p>Each dot is a file that was loaded and scored in its own runtime, on {data} data; "
        "larger marks are the means over seeds with their 95 % intervals, the star is the "
        "original. Marks stand a little apart so that files of one size can be told from each "
        "other; the table has their bytes.</p>"
    )
    figure = comparison_figure(found, style)
    return f'{words}<div class="narrow">{drawn(figure, "comparison", "Score against size")}</div>'


def _arms(found: Comparison, style: MetricStyle) -> str:
    heads = (
        "arm",
        "epochs",
        f"{found.metric}, validation",
        f"{found.metric}, test",
        f"pruned leads by{',' + style.points if style.points else ''}",
        "size",
        "MACs",
        "speed",
        "seeds",
        "note",
    )
    rows = [
        (
            row.arm,
            "" if row.epochs is None else f"{row.epochs:,}",
            score_text(row.metric, style),
            score_text(row.test_metric, style),
            lead_text(row, style),
            bytes_text(row.size.value),
            count_text(float(row.macs)),
            speed_text(row),
            ", ".join(str(run.seed) for run in row.runs),
            row.note,
        )
        for row in (found.original, *found.rows)
    ]
    words = (
        "<p>Intervals are of the mean over seeds, 95 % (Student's t); the original's are over "
        "examples, as there is one of it. A lead is the difference of two means (Welch's t): above "
        "zero where pruning is better. The pruned arm has the original's training behind it, which "
        "its epochs do not count.</p>"
    )
    return words + table(heads, rows)


def _left_out(found: Comparison) -> str:
    if not found.left_out:
        return ""
    rows = [(o.arm, "all" if o.seed is None else o.seed, o.reason) for o in found.left_out]
    return table(("arm", "seed", "why"), rows)


def _settings(found: Comparison) -> str:
    way = "higher is better" if found.higher_is_better else "lower is better"
    taught = "every arm imitates the original" if found.is_taught else "labels alone"
    pairs = settings_list(
        [
            ("task", found.task),
            ("metric", f"{found.metric}, {way}"),
            ("target", found.target),
            ("seeds", ", ".join(map(str, found.seeds))),
            ("teacher", taught),
            ("device", found.original.metric.device),
        ]
    )
    return f"{pairs}<h3>What prunes</h3><pre>{escape(found.recipe)}</pre>"
