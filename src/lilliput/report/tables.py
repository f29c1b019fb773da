"""The tables of a report, as HTML; everything that came from a user is escaped."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from textwrap import shorten
from typing import Any

from lilliput.core import Measurement
from lilliput.core.amounts import bytes_text
from lilliput.registry import Family, Variant
from lilliput.report.facts import (
    is_original,
    parent_name,
    recipe_line,
    size_ratio,
    speed,
    style_of,
)
from lilliput.report.numbers import MetricStyle, interval_text, ms_text, times_text

__all__ = ["how_measured", "settings_list", "skipped_table", "variants_table"]

_Cell = Callable[[Family, Variant], str]

# what a number is and what the ends of its interval mean, by quantity
_HOW = {
    "metric": "The metric over all validation data, computed in the exported file's own "
    "runtime. Interval: 95 %.",
    "drop": "How much worse than the original the metric is, on the same examples. "
    "Interval: 95 %, paired.",
    "test_metric": "The metric over all test data, read once. Interval: 95 %.",
    "test_drop": "The drop on test data, read once. Interval: 95 %, paired.",
    "size": "Bytes of the file on disk, which of a packed one is what is downloaded; 1 kB is "
    "1,000 bytes.",
    "latency": "Median time for one example after warm-up. Interval: 10th to 90th percentile.",
    "latency_ratio": "The time as a share of the original's in the same runtime, taken in "
    "turns in one run; the table shows its inverse, the speed. Interval: 10th to 90th percentile "
    "of the rounds.",
    "latency_ratio_eager": "The same against PyTorch eager, in the same run.",
    "peak_ram": "Peak memory of the runtime's process while it loads (and unpacks) and runs the "
    "file; on a "
    "microcontroller all that an image holds of RAM, and the stack it used.",
    "flash": "Code and weights on the device; of a packed file the bytes of the one that it "
    "unpacks to.",
    "instructions": "Of one run on the device; they are no cycles.",
    "parity": "Largest difference between the file's output and the network's own, as a share "
    "of the output's range.",
}


def variants_table(family: Family) -> str:
    """All variants with lineage; click on a head to sort."""
    if not family.variants:
        return "<p>No variant has been made yet.</p>"
    costs = _costs(family)
    numbers = (family.metric, "drop", *costs)
    heads = [f'<th scope="col">{head}</th>' for head in ("variant", "target")]
    heads += [f'<th scope="col" class=number>{escape(head)}</th>' for head in numbers]
    heads += [f'<th scope="col">{head}</th>' for head in ("got by", "goes on from", "recipe")]
    rows = "".join(_variant_row(family, variant, costs) for variant in family.variants)
    return (
        '<div class="wide" tabindex="0"><table class="sortable">'
        f"<thead><tr>{''.join(heads)}</tr></thead>"
        f"<tbody>{rows}</tbody></table></div>"
    )


def _costs(family: Family) -> Mapping[str, _Cell]:
    """Columns for what files take; on microcontrollers flash and instructions, and no time."""

    def known(quantity: str) -> bool:
        return any(variant.value(quantity) is not None for variant in family.variants)

    chips = any(variant.is_on_chip for variant in family.variants)
    hosts = _ON_HOSTS if known("latency") or not chips else {}
    unpacked = {"flash": _bytes_cell("flash")} if known("flash") and not chips else {}
    costs = {**_ON_CHIPS, **hosts} if chips else {**hosts, **unpacked}
    return {**costs, "peak RAM": _bytes_cell("peak_ram")}


def _variant_row(family: Family, variant: Variant, costs: Mapping[str, _Cell]) -> str:
    name = f'<span class="name">{escape(variant.name)}</span>{_tags(family, variant)}'
    cells = [
        f'<th scope="row">{name}<small>{escape(variant.id[:8])}</small></th>',
        f"<td>{escape(variant.target)}{_running(variant)}</td>",
        *_quality_cells(family, variant),
        *(cell(family, variant) for cell in costs.values()),
        f"<td>{escape(', '.join(_methods(variant)))}</td>",
        f"<td>{escape(parent_name(family, variant)) or '-'}</td>",
        f"<td>{_recipe(variant)}</td>",
    ]
    return f"<tr>{''.join(cells)}</tr>"


def _running(variant: Variant) -> str:
    """How wide weights are, and what the target does otherwise than asked for."""
    weights, notes = variant.details.get("weights"), variant.details.get("notes") or []
    words = f"<small>weights {escape(str(weights))}</small>" if weights else ""
    if not notes:
        return words
    items = "".join(f"<li>{escape(str(note))}</li>" for note in notes)
    return f"{words}<details><summary>runs otherwise</summary><ul>{items}</ul></details>"


def _tags(family: Family, variant: Variant) -> str:
    """Words on a coloured ground: the original, and what is smaller but slower."""
    culprit = variant.details.get("parity_culprit")
    if culprit:
        where = escape(f"the file and the network part at {culprit}")
        return f' <span class="tag warn">{where}</span>'
    if is_original(family, variant):
        return "" if variant.name == "original" else ' <span class="tag">original</span>'
    ratio, times = size_ratio(family, variant), speed(variant)
    if times is None or not times.is_slower:
        return ""
    words = "smaller but slower" if ratio is not None and ratio > 1 else "slower"
    return f' <span class="tag warn">{words}</span>'


def _quality_cells(family: Family, variant: Variant) -> list[str]:
    style = style_of(family)
    on_test = {name: _on_test(variant, name, style) for name in ("metric", "drop")}
    return [
        _cell(variant, "metric", lambda m: style.value(m.value), on_test["metric"]),
        _cell(variant, "drop", style.drop, on_test["drop"]),
    ]


def _on_test(variant: Variant, quantity: str, style: MetricStyle) -> str:
    found = variant.measurement(f"test_{quantity}")
    if found is None:
        return ""
    return f"test {style.value(found.value) if quantity == 'metric' else style.drop(found)}"


def _spread(variant: Variant) -> str:
    found = variant.measurement("latency")
    return "" if found is None else interval_text(found.low, found.high)


def _cell(
    variant: Variant, quantity: str, text: Callable[[Measurement], str], below: str = ""
) -> str:
    found = variant.measurement(quantity)
    return _missing_cell() if found is None else _plain_cell(found.value, text(found), below)


def _missing_cell() -> str:
    return '<td class="number" data-value=""><span class="missing">not measured</span></td>'


def _plain_cell(value: float, text: str, below: str = "") -> str:
    second = f"<small>{escape(below)}</small>" if below else ""
    return f'<td class="number" data-value="{value!r}">{escape(text)}{second}</td>'


def _speed_cell(variant: Variant, quantity: str) -> str:
    times = speed(variant, quantity)
    if times is None:
        return _missing_cell()
    return _plain_cell(
        times.value, times_text(times.value), interval_text(times.low, times.high, 2)
    )


def _smaller_cell(family: Family, variant: Variant) -> str:
    ratio = size_ratio(family, variant)
    return _missing_cell() if ratio is None else _plain_cell(ratio, times_text(ratio))


def _bytes_cell(quantity: str) -> _Cell:
    return lambda _, variant: _cell(variant, quantity, lambda m: bytes_text(m.value))


_ON_HOSTS: Mapping[str, _Cell] = {
    "size": _bytes_cell("size"),
    "smaller": _smaller_cell,
    "latency": lambda _, v: _cell(v, "latency", lambda m: ms_text(m.value), _spread(v)),
    "speed": lambda _, v: _speed_cell(v, "latency_ratio"),
    "PyTorch eager": lambda _, v: _speed_cell(v, "latency_ratio_eager"),
}
_ON_CHIPS: Mapping[str, _Cell] = {
    "flash": _bytes_cell("flash"),
    "instructions": lambda _, v: _cell(v, "instructions", lambda m: f"{m.value:,.0f}"),
}


def _methods(variant: Variant) -> list[str]:
    return sorted({measurement.method for measurement in variant.measurements})


def _recipe(variant: Variant) -> str:
    text = variant.recipe.strip()
    if not text:
        return "-"
    return (
        f"<details><summary>{escape(shorten(recipe_line(variant), 72))}</summary>"
        f"<pre>{escape(text)}</pre></details>"
    )


def skipped_table(family: Family) -> str:
    """What was left out, where, and why."""
    if not family.skipped:
        return "<p>Nothing was skipped.</p>"
    rows = [(s.name, s.target, s.reason) for s in family.skipped]
    return table(("what", "target", "why"), rows)


def how_measured(family: Family) -> str:
    """For each quantity: method, device, samples, and what its interval is."""
    groups: dict[tuple[str, str, str], list[Measurement]] = {}
    for variant in family.variants:
        for found in variant.measurements:
            groups.setdefault((found.quantity, found.method, found.device), []).append(found)
    order = list(_HOW)
    keys = sorted(groups, key=lambda key: (order.index(key[0]) if key[0] in order else 99, *key))
    rows = [
        (
            key[0].replace("_", " "),
            key[1],
            key[2],
            _samples(groups[key]),
            _HOW.get(key[0], ""),
        )
        for key in keys
    ]
    if not rows:
        return "<p>Nothing has been measured yet.</p>"
    return table(("quantity", "got by", "device", "samples", "how"), rows)


def _samples(found: Sequence[Measurement]) -> str:
    counts = sorted({measurement.samples for measurement in found})
    return f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"


def settings_list(pairs: Iterable[tuple[str, str]]) -> str:
    """Names and values of the run's settings."""
    items = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in pairs)
    return f"<dl>{items}</dl>"


def table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A plain table of text."""
    head = "".join(f'<th scope="col">{escape(head)}</th>' for head in heads)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows
    )
    return (
        f'<div class="wide" tabindex="0"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )
