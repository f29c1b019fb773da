"""Where bytes, MACs and time are, layer by layer, before and after."""

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from lilliput.registry import Family, Variant
from lilliput.report.facts import best_of, is_original, original_of, targets_of
from lilliput.report.numbers import bytes_text, count_text, ms_text

__all__ = ["layers_section"]

Layer = Mapping[str, Any]

_QUANTITIES: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("weight_bytes", "weights", bytes_text),
    ("macs", "MACs", count_text),
    ("ms", "time", ms_text),
)


def layers_section(family: Family) -> str:
    """One table for each target's chosen variant, the first one open."""
    parts = []
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
    old = {_key(layer): layer for layer in before}
    new = {_key(layer): layer for layer in after}
    keys = [key for key in dict.fromkeys([*old, *new]) if _counts(old.get(key), new.get(key))]
    shown = [q for q in _QUANTITIES if any(x.get(q[0]) for x in (*old.values(), *new.values()))]
    heads = "".join(f'<th scope="col" class="bars">{title}</th>' for _, title, _ in shown)
    peaks = {
        name: max([float(x.get(name) or 0) for x in (*old.values(), *new.values())], default=0.0)
        for name, _, _ in shown
    }
    rows = []
    for key in keys:
        cells = "".join(
            _cell(old.get(key), new.get(key), name, text, peaks[name]) for name, _, text in shown
        )
        name, operator = key
        rows.append(
            f'<tr><th scope="row">{escape(name) or "(network)"}<small>{escape(operator)}</small></th>'
            f"{cells}</tr>"
        )
    rows.append(_total(old, new, shown))
    return (
        f'<div class="wide tall" tabindex="0"><table><thead><tr><th scope="col">layer</th>{heads}'
        f"</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _key(layer: Layer) -> tuple[str, str]:
    return str(layer.get("name", "")), str(layer.get("operator", ""))


def _counts(*layers: Layer | None) -> bool:
    return any(layer.get(name) for layer in layers if layer for name, _, _ in _QUANTITIES)


def _cell(
    old: Layer | None, new: Layer | None, name: str, text: Callable[[float], str], peak: float
) -> str:
    values = [_value(layer, name) for layer in (old, new)]
    words = " to ".join("-" if value is None else text(value) for value in values)
    bars = "".join(
        f'<span class="bar {kind}" style="width:{100 * (value or 0.0) / (peak or 1.0):.1f}%"></span>'
        for kind, value in zip(("before", "after"), values, strict=True)
    )
    return f'<td class="bars">{words}{bars}</td>'


def _value(layer: Layer | None, name: str) -> float | None:
    return None if layer is None or layer.get(name) is None else float(layer[name])


def _total(
    old: Mapping[tuple[str, str], Layer],
    new: Mapping[tuple[str, str], Layer],
    shown: Sequence[tuple[str, str, Callable[[float], str]]],
) -> str:
    cells = []
    for name, _, text in shown:
        sums = [sum(float(x.get(name) or 0) for x in side.values()) for side in (old, new)]
        words = " to ".join(text(total) if total else "-" for total in sums)
        cells.append(f'<td class="bars">{words}</td>')
    return f'<tr class="total"><th scope="row">all layers</th>{"".join(cells)}</tr>'
