"""Where bytes, MACs and time are, layer by layer, before and after."""

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from lilliput.core.amounts import bytes_text
from lilliput.registry import Family, Variant
from lilliput.report.facts import best_of, is_original, original_of, targets_of
from lilliput.report.numbers import count_text, ms_text

__all__ = ["layers_section"]

Layer = Mapping[str, Any]

_QUANTITIES: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("weight_bytes", "weights", bytes_text),
    ("macs", "MACs", count_text),
    ("ms", "time", ms_text),
)


def layers_section(family: Family) -> str:
    """One table for each target's chosen variant, the first one open."""
    parts: list[str] = []
    for target in targets_of(family):
        variant = _chosen(family, target)
        if variant is None or not variant.details.get("layers"):
            continue
        before = _before(family, target)
        after = variant.details["layers"]
        title = escape(f"{variant.name} on {target}")
        is_open = "" if parts else " open"
        parts.append(
            f"<details{is_open}><summary>{title}</summary>{_table(before, after)}</details>"
        )
    if parts:
        return _LEGEND + "".join(parts)
    only = family.notes.get("layers")
    return _table(only, []) if only else "<p>No layers were recorded.</p>"


_LEGEND = (
    '<p><span class="key before"></span> the original'
    ' <span class="key after"></span> the variant. Weights are counted as the network holds them, '
    "before the file format's own coding.</p>"
)


def _chosen(family: Family, target: str) -> Variant | None:
    """The best within the budget, or else the smallest that is not the original."""
    best, _ = best_of(family, target)
    if best is not None and not is_original(family, best):
        return best
    own = [v for v in family.variants if v.target == target and not is_original(family, v)]
    sized = [(size, v) for v in own if (size := v.value("size")) is not None]
    return min(sized, key=lambda pair: pair[0])[1] if sized else None


def _before(family: Family, target: str) -> Sequence[Layer]:
    original = original_of(family, target)
    own = original.details.get("layers") if original else None
    return own or family.notes.get("layers") or []


def _table(before: Sequence[Layer], after: Sequence[Layer]) -> str:
    """A row for each layer that weighs, computes or takes time, with a pair of bars a cell."""
    sides = _summed(before), _summed(after)
    costs = [cost for side in sides for cost in side.values()]
    shown = [q for q in _QUANTITIES if any(cost.get(q[0]) for cost in costs)]
    peaks = {name: max(cost.get(name, 0.0) for cost in costs) for name, _, _ in shown}
    heads = "".join(f'<th scope="col" class="bars">{title}</th>' for _, title, _ in shown)
    rows = []
    for key in dict.fromkeys([*sides[0], *sides[1]]):
        pair = [side.get(key) for side in sides]
        if any(cost and any(cost.get(name) for name, _, _ in shown) for cost in pair):
            cells = "".join(_cell(pair, name, text, peaks[name]) for name, _, text in shown)
            rows.append(f'<tr><th scope="row">{_title(key)}</th>{cells}</tr>')
    rows.append(_total(sides, shown))
    return (
        f'<div class="wide tall" tabindex="0"><table><thead><tr><th scope="col">layer</th>{heads}'
        f"</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _summed(layers: Sequence[Layer]) -> dict[tuple[str, str], dict[str, float]]:
    """Costs by name and operator; operators that share a name are added up."""
    sums: dict[tuple[str, str], dict[str, float]] = {}
    for layer in layers:
        if str(layer.get("operator", "")).startswith("fake_quantize"):
            continue  # scales and zero points, no layer of the network
        cost = sums.setdefault((str(layer.get("name", "")), str(layer.get("operator", ""))), {})
        for name, _, _ in _QUANTITIES:
            if layer.get(name) is not None:
                cost[name] = cost.get(name, 0.0) + float(layer[name])
    return sums


def _title(key: tuple[str, str]) -> str:
    name, operator = key
    return f"{escape(name) or '(between layers)'}<small>{escape(operator)}</small>"


def _cell(
    pair: Sequence[Mapping[str, float] | None], name: str, text: Callable[[float], str], peak: float
) -> str:
    values = [None if cost is None else cost.get(name) for cost in pair]
    if not any(values):
        return '<td class="bars"></td>'
    words = " to ".join(text(value) if value else "-" for value in values)
    bars = ""
    for kind, value in zip(("before", "after"), values, strict=True):
        width = 100 * (value or 0.0) / (peak or 1.0)
        bars += f'<span class="bar {kind}" style="width:{width:.1f}%"></span>'
    return f'<td class="bars">{words}{bars}</td>'


def _total(
    sides: Sequence[Mapping[tuple[str, str], Mapping[str, float]]],
    shown: Sequence[tuple[str, str, Callable[[float], str]]],
) -> str:
    cells = ""
    for name, _, text in shown:
        sums = [sum((cost.get(name, 0.0) for cost in side.values()), 0.0) for side in sides]
        words = " to ".join(text(total) if total else "-" for total in sums)
        cells += f'<td class="bars">{words}</td>'
    return f'<tr class="total"><th scope="row">all layers</th>{cells}</tr>'
