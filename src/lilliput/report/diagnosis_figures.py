"""The pictures of a diagnosis: cost by layer, noise along the network, remedies, ranges."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from lilliput.core.amounts import short
from lilliput.report.numbers import MetricStyle
from lilliput.report.remedies import with_ends

__all__ = ["cost_figure", "ranges_figure", "remedies_figure", "signal_figure"]

Row = Mapping[str, Any]

# Source: Okabe and Ito 2008, "Color Universal Design"
_BLUE, _ORANGE, _GREEN, _GREY = "#0072B2", "#D55E00", "#009E73", "#9aa5b1"
_INK, _GRID, _LINE = "#1f2933", "#e4e7eb", "#52606d"
_MOST = 24
"""Of the culprits, how many a picture shows."""


def cost_figure(found: Row) -> Any:
    """How far from the float outputs each of the worst places alone takes the network."""
    import plotly.graph_objects as go

    rows = found["culprits"][:_MOST]
    names = [escape(row["name"]) for row in rows]
    parts = (
        ("weights", "weights_divergence", _BLUE),
        ("what it reads", "reads_divergence", _ORANGE),
        ("the tensor itself", "alone_divergence", _GREY),
    )
    figure = go.Figure()
    for title, field, colour in parts:
        shown = [row for row in rows if (row["weights"] is None) == (field == "alone_divergence")]
        values = {escape(row["name"]): row[field] or 0.0 for row in shown}
        if any(values.values()):
            figure.add_trace(
                go.Bar(
                    name=title,
                    orientation="h",
                    y=list(values),
                    x=list(values.values()),
                    marker={"color": colour},
                    hovertext=[_cost_hover(found, row) for row in shown],
                    hoverinfo="text",
                )
            )
    figure.update_layout(
        **_layout(150 + 26 * len(rows), f"{found['divergence']} (simulated)", ""),
        barmode="stack",
        yaxis_autorange="reversed",
        yaxis_type="category",
        yaxis_categoryorder="array",
        yaxis_categoryarray=names,
    )
    return figure


def _cost_hover(found: Row, row: Row) -> str:
    lines = [f"<b>{escape(row['name'])}</b> {escape(row['operator'])}"]
    for words, field in (("alone", "alone_divergence"), ("recovered", "recovered_divergence")):
        lines.append(f"{words}: {escape(found['divergence'])} {short(row[field])}")
    if row["decibels"] is not None:
        lines.append(f"signal to noise {row['decibels']:.1f} dB")
    if row["weight_range"]:
        lines.append(f"weight ranges differ {short(row['weight_range']['ratio'])}-fold")
    return "<br>".join(lines)


def signal_figure(found: Row) -> Any:
    """The signal-to-noise ratio of every tensor, in the order they are made."""
    import plotly.graph_objects as go

    rows = [row for row in found["signals"] if row["decibels"] is not None]
    layers = {row["name"] for row in found["culprits"] if row["weights"] is not None}
    figure = go.Figure(
        go.Scatter(
            x=list(range(1, len(rows) + 1)),
            y=[row["decibels"] for row in rows],
            mode="lines+markers",
            line={"color": _BLUE, "width": 1.5},
            marker={
                "size": [8 if row["name"] in layers else 4 for row in rows],
                "color": [_BLUE if row["name"] in layers else _GREY for row in rows],
            },
            hovertext=[f"{escape(row['name'])}: {row['decibels']:.1f} dB" for row in rows],
            hoverinfo="text",
        )
    )
    figure.update_layout(
        **_layout(360, "operators, in the order they run", "dB"),
        showlegend=False,
    )
    return figure


def remedies_figure(found: Row, style: MetricStyle) -> Any:
    """The drop of the first variant, and what each remedy took off it or would have put on."""
    import plotly.graph_objects as go

    rows = [row for row in found["tried"] if row["drop"]]
    if not rows:
        return None
    places, labels = list(range(len(rows))), [_label(row) for row in rows]
    bases, heights, colours = _steps(rows, style.factor)
    figure = go.Figure(
        go.Bar(
            x=places,
            y=heights,
            base=bases,
            marker={"color": colours, "line": {"color": _LINE, "width": 1}},
            hovertext=[_tried_hover(row, style) for row in rows],
            hoverinfo="text",
        )
    )
    figure.add_trace(_drops(places, rows, style.factor))
    figure.add_hline(
        y=found["max_drop"] * style.factor,
        line={"dash": "dash", "width": 1, "color": _LINE},
        annotation={"text": f"at most {style.limit(found['max_drop'])}", "font": {"size": 12}},
        annotation_position="top right",
    )
    unit = f"drop,{style.points}" if style.points else "drop"
    figure.update_layout(**_layout(420, "", unit), showlegend=False)
    figure.update_xaxes(tickvals=places, ticktext=labels, tickangle=-35)
    return figure


def _drops(places: Sequence[int], rows: Sequence[Row], factor: float) -> Any:
    """The drops from the original as dots with their intervals."""
    import plotly.graph_objects as go

    drops = [row["drop"] for row in rows]
    above, below = _ends(drops, factor)
    ends = {"array": above, "arrayminus": below}
    return go.Scatter(
        x=places,
        y=[drop["value"] * factor for drop in drops],
        mode="markers",
        marker={"color": _INK, "size": 6},
        error_y={"type": "data", "symmetric": False, "color": _INK, "thickness": 1} | ends,
        hoverinfo="skip",
    )


def _label(row: Row) -> str:
    words = row["remedy"] or "quantized"
    about = f" ({len(row['layers'])})" if row["layers"] else ""
    return escape(f"{words}{about}")


def _steps(rows: Sequence[Row], factor: float) -> tuple[list[float], list[float], list[str]]:
    """Where each bar begins, how far it goes, and its colour: what was not kept is pale."""
    bases, heights, colours = [0.0], [rows[0]["drop"]["value"] * factor], [_ORANGE]
    now = heights[0]
    for row in rows[1:]:
        drop = row["drop"]["value"] * factor
        bases.append(now)
        heights.append(drop - now)
        colours.append(_GREEN if row["is_kept"] else "#ffffff")
        now = drop if row["is_kept"] else now
    return bases, heights, colours


def _ends(drops: Sequence[Row], factor: float) -> tuple[list[float], list[float]]:
    above = [
        ((d["value"] if d["high"] is None else d["high"]) - d["value"]) * factor for d in drops
    ]
    below = [(d["value"] - (d["value"] if d["low"] is None else d["low"])) * factor for d in drops]
    return above, below


def _tried_hover(row: Row, style: MetricStyle) -> str:
    lines = [f"<b>{escape(row['variant'])}</b>", f"drop {with_ends(row['drop'], style)}"]
    if row["bought"]:
        kept = "" if row["is_kept"] else ", not kept"
        lines.append(f"bought {with_ends(row['bought'], style)}{kept}")
    if row["layers"]:
        lines.append(f"about {escape(', '.join(row['layers']))}")
    return "<br>".join(lines)


def ranges_figure(found: Row, field: str) -> Any:
    """Five numbers of each of the worst layers: of its weights' channels, or of what it reads.

    Args:
        found: The diagnosis.
        field: `weight_range` or `read`.
    """
    import plotly.graph_objects as go

    is_weight = field == "weight_range"
    rows = [row for row in found["culprits"] if row["weights"] is not None and row[field]][:_MOST]
    spreads = [row[field]["channels"] if is_weight else row[field] for row in rows]
    if not spreads:
        return None
    figure = go.Figure(
        go.Box(
            y=[escape(row["name"]) for row in rows],
            orientation="h",
            lowerfence=[s["least"] for s in spreads],
            q1=[s["lower"] for s in spreads],
            median=[s["middle"] for s in spreads],
            q3=[s["upper"] for s in spreads],
            upperfence=[s["most"] for s in spreads],
            marker={"color": _BLUE if is_weight else _ORANGE},
            line={"width": 1.5},
        )
    )
    figure.update_layout(
        **_layout(140 + 26 * len(rows), "weight" if is_weight else "value", ""),
        showlegend=False,
        yaxis_autorange="reversed",
        yaxis_type="category",
    )
    if is_weight and all(s["least"] > 0 for s in spreads):
        figure.update_xaxes(type="log", exponentformat="power")
    return figure


def _layout(height: int, x_title: str, y_title: str) -> dict[str, Any]:
    axis = {"gridcolor": _GRID, "linecolor": _LINE, "ticks": "outside", "zeroline": False}
    return {
        "template": "none",
        "height": height,
        "margin": {"l": 60, "r": 16, "t": 30, "b": 60},
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": _INK},
        "hoverlabel": {"bgcolor": "#ffffff", "bordercolor": _LINE, "align": "left"},
        "legend": {"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0},
        "xaxis": axis | {"title": {"text": escape(x_title)}, "automargin": True},
        "yaxis": axis | {"title": {"text": escape(y_title)}, "automargin": True},
    }
