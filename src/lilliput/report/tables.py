"""The tables of a report, as HTML; everything that came from a user is escaped."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from lilliput.core import Measurement
from lilliput.registry import Family, Variant
from lilliput.report.facts import (
    is_original,
    parent_name,
    recipe_line,
    size_ratio,
    speed,
    style_of,
)
from lilliput.report.numbers import bytes_text, interval_text, ms_text, times_text

__all__ = ["HowMeasured", "how_measured", "settings_list", "skipped_table", "variants_table"]

_HEADS = (
    "drop",
    "size",
    "smaller",
    "latency",
    "speed",
    "PyTorch eager",
    "peak RAM",
    "got by",
    "goes on from",
    "recipe",
)
_NUMERIC = range(2, 10)
_MISSING = '<span class="missing">not measured</span>'


def variants_table(family: Family) -> str:
    """All variants with lineage; click on a head to sort."""
    if not family.variants:
        return "<p>No variant has been made yet.</p>"
    heads = "".join(
        f'<th scope="col"{" class=number" if index in _NUMERIC else ""}>{escape(head)}</th>'
        for index, head in enumerate(("variant", "target", family.metric, *_HEADS))
    )
    rows = "".join(_variant_row(family, variant) for variant in family.variants)
    return (
        f'<div class="wide" tabindex="0"><table class="sortable"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _variant_row(family: Family, variant: Variant) -> str:
    name = f'<span class="name">{escape(variant.name)}</span>{_tags(family, variant)}'
    cells = [
        f'<th scope="row">{name}<small>{escape(variant.id[:8])}</small></th>',
        f"<td>{escape(variant.target)}</td>",
        *_number_cells(family, variant),
        f"<td>{escape(', '.join(_methods(variant)))}</td>",
        f"<td>{escape(parent_name(family, variant)) or '-'}</td>",
        f"<td>{_recipe(variant)}</td>",
    ]
    return f"<tr>{''.join(cells)}</tr>"


def _tags(family: Family, variant: Variant) -> str:
    """Words on a coloured ground: the original, and what is smaller but slower."""
    if is_original(family, variant):
        return "" if variant.name == "original" else ' <span class="tag">original</span>'
    ratio, times = size_ratio(family, variant), speed(variant)
    if times is None or not times.is_slower:
        return ""
    words = "smaller but slower" if ratio is not None and ratio > 1 else "slower"
    return f' <span class="tag warn">{words}</span>'


def _number_cells(family: Family, variant: Variant) -> list[str]:
    style = style_of(family)
    drop, latency = variant.measurement("drop"), variant.measurement("latency")
    test_metric, test_drop = variant.measurement("test_metric"), variant.measurement("test_drop")
    metric, size, ram = (variant.measurement(name) for name in ("metric", "size", "peak_ram"))
    ratio = size_ratio(family, variant)
    return [
        _cell(
            metric,
            metric and style.value(metric.value),
            test_metric and f"test {style.value(test_metric.value)}",
        ),
        _cell(drop, drop and style.drop(drop), test_drop and f"test {style.drop(test_drop)}"),
        _cell(size, size and bytes_text(size.value)),
        _plain_cell(ratio, ratio and times_text(ratio)),
        _cell(
            latency,
            latency and ms_text(latency.value),
            latency and interval_text(latency.low, latency.high),
        ),
        _speed_cell(variant, "latency_ratio"),
        _speed_cell(variant, "latency_ratio_eager"),
        _cell(ram, ram and bytes_text(ram.value)),
    ]


def _cell(found: Measurement | None, text: str | None, below: str | None = None) -> str:
    if found is None or text is None:
        return f'<td class="number" data-value="">{_MISSING}</td>'
    return _plain_cell(found.value, text, below)


def _plain_cell(value: float | None, text: str | None, below: str | None = None) -> str:
    if value is None or text is None:
        return f'<td class="number" data-value="">{_MISSING}</td>'
    second = f"<small>{escape(below)}</small>" if below else ""
    return f'<td class="number" data-value="{value!r}">{escape(text)}{second}</td>'


def _speed_cell(variant: Variant, quantity: str) -> str:
    times = speed(variant, quantity)
    if times is None:
        return _plain_cell(None, None)
    return _plain_cell(times.value, times_text(times.value), interval_text(times.low, times.high, 2))


def _methods(variant: Variant) -> list[str]:
    return sorted({measurement.method for measurement in variant.measurements})


def _recipe(variant: Variant) -> str:
    text = variant.recipe.strip()
    if not text:
        return "-"
    return (
        f"<details><summary>{escape(recipe_line(variant))}</summary>"
        f"<pre>{escape(text)}</pre></details>"
    )


def skipped_table(family: Family) -> str:
    """What was left out, where, and why."""
    if not family.skipped:
        return "<p>Nothing was skipped.</p>"
    rows = [(s.name, s.target, s.reason) for s in family.skipped]
    return table(("what", "target", "why"), rows)


class HowMeasured:
    """What the ends of an interval mean and how the number is got, by quantity."""

    WORDS: Mapping[str, str] = {
        "metric": "The metric over all validation data, computed in the exported file's own "
        "runtime. Interval: 95 %.",
        "drop": "How much worse than the original the metric is, on the same examples. "
        "Interval: 95 %, paired.",
        "test_metric": "The metric over all test data, read once. Interval: 95 %.",
        "test_drop": "The drop on test data, read once. Interval: 95 %, paired.",
        "size": "Bytes of the file on disk; 1 kB is 1,000 bytes.",
        "latency": "Median time for one example after warm-up. Interval: 10th to 90th percentile.",
        "latency_ratio": "The time as a share of the original's in the same runtime, taken in "
        "turns in one run.",
        "latency_ratio_eager": "The time as a share of PyTorch eager's, taken in turns in one run.",
        "peak_ram": "Peak memory of the runtime's process while it loads and runs the file.",
        "flash": "Code and weights on the device.",
        "parity": "Largest difference between the file's output and the network's own, as a share "
        "of the output's range.",
    }


def how_measured(family: Family) -> str:
    """For each quantity: method, device, samples, and what its interval is."""
    groups: dict[tuple[str, str, str], list[Measurement]] = {}
    for variant in family.variants:
        for found in variant.measurements:
            groups.setdefault((found.quantity, found.method, found.device), []).append(found)
    order = list(HowMeasured.WORDS)
    keys = sorted(groups, key=lambda key: (order.index(key[0]) if key[0] in order else 99, *key))
    rows = [
        (key[0].replace("_", " "), key[1], key[2], _samples(groups[key]), HowMeasured.WORDS.get(key[0], ""))
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
