"""The interactive pictures: the front and the sensitivity, as Plotly figures."""

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

from lilliput.core.amounts import bytes_text
from lilliput.registry import Family, Variant
from lilliput.report.facts import (
    budget_of,
    is_original,
    original_of,
    recipe_line,
    size_ratio,
    speed,
    style_of,
    targets_of,
)
from lilliput.report.numbers import ms_text, times_text

__all__ = ["front_figure", "heat_map", "hidden_below"]

# eight colours that colour-blind readers tell apart; without its yellow, pale on white
# Source: Okabe and Ito 2008, "Color Universal Design"
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "pentagon")
_INK, _GRID, _LIMIT = "#1f2933", "#e4e7eb", "#52606d"

_UNIT = {"size": 1e-3, "latency": 1.0, "flash": 1e-3, "instructions": 1e-6}
_TITLE = {
    "size": "file size, kB",
    "latency": "median latency of one example, ms",
    "flash": "flash of the image, kB",
    "instructions": "instructions of one run, millions",
}


def front_figure(family: Family, x: str) -> Any:
    """Metric on validation data against a cost, `size` for one; None where no variant has both."""
    import plotly.graph_objects as go

    shown = [v for v in family.variants if v.value(x) is not None and v.value("metric") is not None]
    if not shown:
        return None
    style = style_of(family)
    figure = go.Figure()
    for index, target in enumerate(targets_of(family)):
        own = [variant for variant in shown if variant.target == target]
        look = _COLOURS[index % len(_COLOURS)], _SYMBOLS[index % len(_SYMBOLS)]
        for trace in _traces(family, own, x, target, look):
            figure.add_trace(trace)
    figure.update_layout(**_layout(x, style.axis))
    _set_ranges(figure, family, shown, x)
    _draw_limits(figure, family, x)
    return figure


def _traces(
    family: Family, own: Sequence[Variant], x: str, target: str, look: tuple[str, str]
) -> list[Any]:
    """The front as a line, variants as points with intervals, the original as a star."""
    import plotly.graph_objects as go

    colour, symbol = look
    front = [v for v in family.front(x=x, y="metric", target=target) if v in own]
    front.sort(key=lambda variant: _number(variant, x))
    group = {"legendgroup": target, "hoverlabel": {"align": "left"}}
    line = go.Scatter(
        **group,
        **_places(family, front, x),
        mode="lines",
        line={"color": colour, "width": 1.5, "shape": "hv"},
        hoverinfo="skip",
        showlegend=False,
    )
    traces = [line]
    for are_originals, size in ((False, 9), (True, 16)):
        some = [v for v in own if is_original(family, v) == are_originals]
        traces.append(
            go.Scatter(
                **group,
                **_places(family, some, x),
                **_error_bars(family, some, x, colour),
                mode="markers",
                name=html.escape(target),
                showlegend=not are_originals,
                marker={
                    "color": [_fill(v, colour) for v in some],
                    "symbol": "star" if are_originals else symbol,
                    "size": size,
                    "line": {"color": colour, "width": 1.5},
                },
                hovertext=[_hover(family, variant) for variant in some],
                hoverinfo="text",
            )
        )
    return [trace for trace in traces if len(trace.x)]


def _fill(variant: Variant, colour: str) -> str:
    """Hollow where the variant is slower than the original."""
    times = speed(variant)
    return "#ffffff" if times is not None and times.is_slower else colour


def _places(family: Family, variants: Sequence[Variant], x: str) -> dict[str, list[float]]:
    factor = style_of(family).factor
    return {
        "x": [_number(variant, x) * _UNIT[x] for variant in variants],
        "y": [_number(variant, "metric") * factor for variant in variants],
    }


def _number(variant: Variant, quantity: str) -> float:
    value = variant.value(quantity)
    return math.nan if value is None else value


def _error_bars(
    family: Family, variants: Sequence[Variant], x: str, colour: str
) -> dict[str, dict[str, Any]]:
    """Of the metric always, of the latency where that is the x axis."""
    look = {"type": "data", "symmetric": False, "color": colour, "thickness": 1, "width": 3}
    bars = {"error_y": look | _ends(variants, "metric", style_of(family).factor)}
    if x == "latency":
        bars["error_x"] = look | _ends(variants, x, _UNIT[x])
    return bars


def _ends(variants: Sequence[Variant], quantity: str, factor: float) -> dict[str, list[float]]:
    """Distances to the ends of the intervals; 0 where there is none."""
    above, below = [], []
    for variant in variants:
        found = variant.measurement(quantity)
        high = found.high if found and found.high is not None else _number(variant, quantity)
        low = found.low if found and found.low is not None else _number(variant, quantity)
        above.append(max(0.0, (high - _number(variant, quantity)) * factor))
        below.append(max(0.0, (_number(variant, quantity) - low) * factor))
    return {"array": above, "arrayminus": below}


def _hover(family: Family, variant: Variant) -> str:
    style = style_of(family)
    metric, drop = variant.measurement("metric"), variant.measurement("drop")
    size, flash, latency = (variant.value(q) for q in ("size", "flash", "latency"))
    ratio, times = size_ratio(family, variant), speed(variant)
    lines = [f"<b>{html.escape(variant.name)}</b> on {html.escape(variant.target)}"]
    if metric:
        lines.append(f"{html.escape(family.metric)} {style.value(metric.value)}")
    if drop:
        lines.append(f"drop {style.drop(drop)}")
    if size is not None:
        lines.append(bytes_text(size) + (f", {times_text(ratio)} smaller" if ratio else ""))
    if flash is not None:
        lines.append(f"{bytes_text(flash)} of flash")
    if latency is not None:
        faster = f", {times_text(times.value)} the speed of the original" if times else ""
        lines.append(ms_text(latency) + faster)
    lines += [html.escape(part) for part in _wrapped(recipe_line(variant))]
    return "<br>".join(lines)


def _wrapped(text: str, width: int = 60) -> list[str]:
    import textwrap

    return textwrap.wrap(text, width)[:6]


def _layout(x: str, y_title: str) -> dict[str, Any]:
    axis = {"gridcolor": _GRID, "linecolor": _LIMIT, "ticks": "outside", "zeroline": False}
    return {
        "template": "none",
        "height": 440,
        "margin": {"l": 60, "r": 16, "t": 30, "b": 60},
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": _INK},
        "hoverlabel": {"bgcolor": "#ffffff", "bordercolor": _LIMIT, "font": {"color": _INK}},
        "legend": {"orientation": "h", "y": -0.2, "yanchor": "top", "x": 0},
        "xaxis": axis | {"title": {"text": _TITLE[x]}, "automargin": True},
        "yaxis": axis | {"title": {"text": html.escape(y_title)}, "automargin": True},
    }


def _set_ranges(figure: Any, family: Family, shown: Sequence[Variant], x: str) -> None:
    """Shows all but hopeless variants, a limit where it is near, and a log scale of a long axis."""
    hidden, limits, factor = hidden_below(family, x), _limits(family, x), style_of(family).factor
    kept = [variant for variant in shown if variant not in hidden] or list(shown)
    heights = [end for variant in kept for end in _ends_of(variant, "metric", factor)]
    if heights:
        heights += [limit for limit in limits["y"] if _is_near(limit, heights)]
        room = 0.08 * (max(heights) - min(heights) or abs(heights[0]) or 1.0)
        figure.update_yaxes(range=[min(heights) - room, max(heights) + room])
    places = [end for v in shown for end in _ends_of(v, x, _UNIT[x]) if end > 0]
    places += [limit for limit in limits["x"] if places and 0 < limit < 2 * max(places)]
    if places and max(places) > 5 * min(places):
        ticks = _log_ticks(min(places), max(places))
        ends = [math.log10(min(places) * 0.85), math.log10(max(places) * 1.2)]
        texts = [f"{tick:g}" for tick in ticks]
        figure.update_xaxes(type="log", tickvals=ticks, ticktext=texts, range=ends)
    elif places:
        figure.update_xaxes(range=[0, 1.08 * max(places)])


def _is_near(limit: float, values: Sequence[float]) -> bool:
    """Within the values' own span of them."""
    span = max(values) - min(values)
    return min(values) - span <= limit <= max(values) + span


def _ends_of(variant: Variant, quantity: str, factor: float) -> list[float]:
    """A value and the ends of its interval, where they are numbers."""
    found = variant.measurement(quantity)
    ends = [found.value, found.low, found.high] if found else []
    return [end * factor for end in ends if end is not None and math.isfinite(end)]


def hidden_below(family: Family, x: str) -> tuple[Variant, ...]:
    """Variants so much worse than the budget allows that they would squash the picture."""
    limit = budget_of(family).max_drop
    if not limit:
        return ()
    return tuple(
        variant
        for variant in family.variants
        if variant.value(x) is not None and (variant.value("drop") or 0.0) > 5 * limit
    )


def _log_ticks(low: float, high: float) -> list[float]:
    """1, 2, 5, 10, ... between the ends and one step beyond."""
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    steps = [digit * 10.0**power for power in powers for digit in (1, 2, 5)]
    return [step for step in steps if low / 2.5 <= step <= high * 2.5]


def _limits(family: Family, x: str) -> dict[str, dict[float, str]]:
    """The budget's limits on either axis, in the axis's unit, and their words."""
    budget, style = budget_of(family), style_of(family)
    limit = budget.limits().get(x)
    found: dict[str, dict[float, str]] = {"x": {}, "y": {}}
    if limit is not None:
        words = f"{limit:,.0f}" if x == "instructions" else bytes_text(limit)
        words = ms_text(limit) if x == "latency" else words
        found["x"][limit * _UNIT[x]] = f"at most {words}"
    originals = [original_of(family, target) for target in targets_of(family)]
    metrics = [m for o in originals if o and (m := o.value("metric")) is not None]
    if budget.max_drop is not None and metrics:
        sign = 1 if family.higher_is_better else -1
        height = (max(metrics) - sign * budget.max_drop) * style.factor
        found["y"][height] = f"drop at most {style.limit(budget.max_drop)}"
    return found


def _draw_limits(figure: Any, family: Family, x: str) -> None:
    """The budget's limits as dashed lines with words beside them, where they are in sight."""
    for name, limits in _limits(family, x).items():
        axis = figure.layout[f"{name}axis"]
        low, high = axis.range or (-math.inf, math.inf)
        for place, words in limits.items():
            at = math.log10(place) if axis.type == "log" and place > 0 else place
            if low <= at <= high:
                _dashes(figure, name, place, words)


def _dashes(figure: Any, axis: str, place: float, words: str) -> None:
    """A dashed line across the picture, behind the points, with words at its start."""
    across = "y" if axis == "x" else "x"
    figure.add_shape(
        type="line",
        layer="below",
        **{f"{axis}0": place, f"{axis}1": place, f"{across}0": 0, f"{across}1": 1},
        **{f"{axis}ref": axis, f"{across}ref": f"{across} domain"},
        line={"dash": "dash", "width": 1, "color": _LIMIT},
        label={
            "text": words,
            "textposition": "start",
            "textangle": 0,
            "xanchor": "left",
            "yanchor": "bottom",
            "font": {"size": 12, "color": _LIMIT},
        },
    )


def heat_map(drops: Mapping[str, Mapping[str, float]], title: str) -> Any:
    """What each group costs at each pruning ratio, darker where it costs more.

    Args:
        drops: What is lost, by group and ratio.
        title: Of the colours.
    """
    import plotly.graph_objects as go

    groups = list(drops)
    levels = sorted({level for by in drops.values() for level in by}, key=float)
    values = [[drops[group].get(level) for level in levels] for group in groups]
    figure = go.Figure(
        go.Heatmap(
            x=[f"{float(level):.0%}" for level in levels],
            y=[html.escape(group) for group in groups],
            z=values,
            texttemplate="%{z:.3g}",
            # from white to dark blue: lightness alone carries the value
            colorscale=[[0.0, "#f7fbff"], [0.5, "#6baed6"], [1.0, "#08306b"]],
            hovertemplate="%{y}, %{x} removed: %{z:.4g}<extra></extra>",
            showscale=False,
        )
    )
    figure.update_layout(
        template="none",
        height=110 + 24 * len(groups),
        margin={"l": 60, "r": 16, "t": 40, "b": 20},
        font={"family": "system-ui, sans-serif", "size": 13, "color": _INK},
        xaxis={"side": "top", "title": {"text": title}, "type": "category"},
        yaxis={"autorange": "reversed", "automargin": True, "type": "category"},
    )
    return figure
