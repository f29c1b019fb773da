"""The picture of a comparison: each arm's score over seeds against the bytes of its file."""

from collections.abc import Sequence
from html import escape
from typing import Any

from lilliput.core.amounts import bytes_text
from lilliput.report.numbers import MetricStyle, count_text
from lilliput.report.verdict import lead_text, score_text
from lilliput.search.contest.comparison import Comparison, Row

__all__ = ["comparison_figure"]

# Source: Okabe and Ito 2008, "Color Universal Design"
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00")
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross")
_INK, _GRID, _LINE = "#1f2933", "#e4e7eb", "#52606d"
_KB = 1e-3
_APART = 0.02
"""How far points of equal size stand apart, as a share of the axis."""


def comparison_figure(found: Comparison, style: MetricStyle) -> Any:
    """Means with their intervals, a small dot for each seed, and the original as a star."""
    import plotly.graph_objects as go

    figure = go.Figure()
    rows = (found.original, *found.rows)
    longest = max(row.size.value for row in rows) * _KB
    middle = (len(found.rows) - 1) / 2
    for index, row in enumerate(found.rows):
        place = row.size.value * _KB + (index - middle) * _APART * longest
        colour, symbol = _COLOURS[index % len(_COLOURS)], _SYMBOLS[index % len(_SYMBOLS)]
        figure.add_trace(_seeds(row, place, style, colour))
        figure.add_trace(_mean(row, place, style, colour, symbol))
    figure.add_trace(_mean(found.original, found.original.size.value * _KB, style, _INK, "star"))
    figure.update_layout(**_layout(style.axis))
    figure.update_xaxes(range=[0, 1.1 * longest])
    heights = _heights(rows, style.factor)
    room = 0.08 * (max(heights) - min(heights) or abs(heights[0]) or 1.0)
    figure.update_yaxes(range=[min(heights) - room, max(heights) + room])
    return figure


def _mean(row: Row, place: float, style: MetricStyle, colour: str, symbol: str) -> Any:
    import plotly.graph_objects as go

    score, factor = row.score, style.factor
    high = score.value if score.high is None else score.high
    low = score.value if score.low is None else score.low
    return go.Scatter(
        x=[place],
        y=[score.value * factor],
        error_y={
            "type": "data",
            "symmetric": False,
            "array": [(high - score.value) * factor],
            "arrayminus": [(score.value - low) * factor],
            "color": colour,
            "thickness": 1.5,
            "width": 4,
        },
        mode="markers",
        name=escape(row.arm),
        marker={"color": colour, "symbol": symbol, "size": 16 if symbol == "star" else 10},
        hovertext=[_hover(row, style)],
        hoverinfo="text",
    )


def _seeds(row: Row, place: float, style: MetricStyle, colour: str) -> Any:
    """One dot for each run."""
    import plotly.graph_objects as go

    values = _scores(row)
    return go.Scatter(
        x=[place] * len(values),
        y=[value * style.factor for value in values],
        mode="markers",
        marker={"color": colour, "size": 5, "opacity": 0.45},
        hovertext=[f"{escape(row.arm)}, seed {run.seed}" for run in row.runs],
        hoverinfo="text+y",
        showlegend=False,
    )


def _scores(row: Row) -> list[float]:
    if row.test_metric is None:
        return [run.metric for run in row.runs]
    return [run.test_metric for run in row.runs if run.test_metric is not None]


def _heights(rows: Sequence[Row], factor: float) -> list[float]:
    """All that should be in sight: the runs, and the intervals except where they dwarf them."""
    points = [value * factor for row in rows for value in (row.score.value, *_scores(row))]
    span = max(points) - min(points) or abs(points[0]) or 1.0
    ends = [e * factor for r in rows for e in (r.score.low, r.score.high) if e is not None]
    return points + [end for end in ends if min(points) - span <= end <= max(points) + span]


def _hover(row: Row, style: MetricStyle) -> str:
    lines = [f"<b>{escape(row.arm)}</b>", f"{escape(style.name)} {score_text(row.score, style)}"]
    lines.append(f"{bytes_text(row.size.value)}, {count_text(float(row.macs))} MACs")
    if row.epochs is not None:
        lines.append(f"{row.epochs} epochs")
    if row.lead is not None:
        lines.append(f"pruned leads by {lead_text(row, style)}{style.points}")
    return "<br>".join(lines)


def _layout(y_title: str) -> dict[str, Any]:
    axis = {"gridcolor": _GRID, "linecolor": _LINE, "ticks": "outside", "zeroline": False}
    return {
        "template": "none",
        "height": 460,
        "margin": {"l": 60, "r": 16, "t": 30, "b": 60},
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": _INK},
        "hoverlabel": {"bgcolor": "#ffffff", "bordercolor": _LINE, "align": "left"},
        "legend": {"orientation": "h", "y": -0.2, "yanchor": "top", "x": 0},
        "xaxis": axis | {"title": {"text": "file size, kB"}, "automargin": True},
        "yaxis": axis | {"title": {"text": escape(y_title)}, "automargin": True},
    }
