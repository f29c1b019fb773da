"""What the best variant within the budget buys, in a sentence."""

from dataclasses import replace

from lilliput.core import Measurement
from lilliput.core.amounts import bytes_text
from lilliput.registry import Family, Variant
from lilliput.report.facts import best_of, is_original, size_ratio, speed, style_of, targets_of
from lilliput.report.numbers import MetricStyle

__all__ = ["drop_of", "headline", "headlines"]


def headlines(family: Family) -> tuple[tuple[str, str], ...]:
    """For each target its name and the sentence for it."""
    return tuple((target, headline(family, target)) for target in targets_of(family))


def headline(family: Family, target: str) -> str:
    """What the best variant of one target buys, or why there is none."""
    best, reason = best_of(family, target)
    if best is None:
        return reason
    if is_original(family, best):
        return "only the original meets the budget yet"
    return _bought(family, best)


def _bought(family: Family, variant: Variant) -> str:
    style = style_of(family)
    costs = _on_chip(variant) or [_size(family, variant), _speed(variant)]
    parts = [*costs, _drop(variant, style)]
    return f"{variant.name}: {', '.join(part for part in parts if part)}"


def _on_chip(variant: Variant) -> list[str]:
    """What a microcontroller needs; nothing for other targets."""
    flash, ram, count = (variant.value(q) for q in ("flash", "peak_ram", "instructions"))
    if flash is None or not variant.is_on_chip:
        return []
    words = [f"{bytes_text(flash)} of flash"]
    words += [f"{bytes_text(ram)} of RAM"] if ram is not None else []
    return words + ([f"{count / 1e6:.3g} million instructions"] if count is not None else [])


def _size(family: Family, variant: Variant) -> str:
    ratio = size_ratio(family, variant)
    return (
        "" if ratio is None else _compared(ratio, "smaller", "larger", "as large as the original")
    )


def _speed(variant: Variant) -> str:
    times = speed(variant)
    if times is None:
        return "latency not measured"
    same = "as fast as the original"
    if times.low is not None and times.high is not None and times.low < 1 < times.high:
        return f"about {same}"  # some rounds say faster, others slower
    return _compared(times.value, "faster", "slower", same)


def _compared(ratio: float, better: str, worse: str, same: str) -> str:
    if 0.95 <= ratio < 1.05:
        return same
    if ratio > 1:
        return f"{ratio:.1f} times {better}"
    return f"{1 / ratio:.1f} times {worse}"


def _drop(variant: Variant, style: MetricStyle) -> str:
    drop = drop_of(variant)
    if drop is None:
        return "drop not measured"
    where = "test" if drop.quantity == "test_drop" else "validation"
    if drop.value >= 0:
        return f"drop {style.drop(drop)} on {where} data"
    ends = [None if end is None else -end for end in (drop.high, drop.low)]
    gain = replace(drop, value=-drop.value, low=ends[0], high=ends[1])
    return f"gain {style.drop(gain)} on {where} data"


def drop_of(variant: Variant) -> Measurement | None:
    """The drop on test data where it was read, else on validation data."""
    return variant.measurement("test_drop") or variant.measurement("drop")
