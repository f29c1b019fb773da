"""Which variants to take: the Pareto front, and the one nearest to a budget."""

import math
from collections.abc import Callable, Iterable, Sequence

from lilliput.core import Budget
from lilliput.registry.variant import Variant

__all__ = ["misses_text", "nearest", "pareto"]

Cost = Callable[[Variant], float | None]


def pareto(variants: Iterable[Variant], x: Cost, y: Cost) -> tuple[Variant, ...]:
    """Those that no other beats, both costs to be small; sorted by rising `x`.

    Variants without one of the two are left out. Of several that are equal in both, the first
    stays.
    """
    known = []
    for index, variant in enumerate(variants):
        at = x(variant), y(variant)
        if at[0] is not None and at[1] is not None and not math.isnan(at[0] + at[1]):
            known.append((at[0], at[1], index, variant))
    front: list[Variant] = []
    lowest = math.inf
    for _, height, _, variant in sorted(known, key=lambda row: row[:3]):
        if height < lowest:
            lowest = height
            front.append(variant)
    return tuple(front)


def nearest(variants: Sequence[Variant], budget: Budget) -> Variant:
    """The one whose worst miss, as a share of its limit, is smallest."""
    limits = budget.limits()

    def badness(variant: Variant) -> tuple[float, float]:
        misses = budget.misses(variant.measurements)
        shares = [
            by / limits[quantity] if limits[quantity] else by for quantity, by in misses.items()
        ]
        return max(shares, default=0.0), sum(shares)

    return min(variants, key=badness)


def misses_text(variant: Variant, budget: Budget) -> str:
    """By how much a variant misses each limit: `size 301 kB is 51 kB over the 250 kB allowed`."""
    parts = []
    for quantity, by in budget.misses(variant.measurements).items():
        limit, found = budget.limits()[quantity], variant.measurement(quantity)
        if found is None:
            parts.append(f"{quantity} was not measured ({_text(limit, quantity)} allowed)")
            continue
        value, over, allowed = (_text(number, quantity) for number in (found.value, by, limit))
        parts.append(f"{quantity} {value} is {over} over the {allowed} allowed")
    return "; ".join(parts)


def _text(value: float, quantity: str) -> str:
    """With the unit a budget's limit is in; kB is 1,000 bytes."""
    if quantity in {"size", "peak_ram", "flash"}:
        if value < 1000:
            return f"{value:,.0f} B"
        return f"{value / 1e3:,.4g} kB" if value < 1e6 else f"{value / 1e6:,.4g} MB"
    if quantity == "instructions":
        return f"{value:,.0f}"
    return f"{value:.3g} ms" if quantity == "latency" else f"{value:.3g}"
