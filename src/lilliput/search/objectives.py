"""What the search makes small: the drop, the bytes and the time of a point's files."""

import math
from collections.abc import Sequence

from lilliput.registry import Variant
from lilliput.search.study import Objectives

__all__ = ["objectives_of"]


def _first(variant: Variant, *quantities: str) -> float:
    """The first of these that was measured; infinite where none was."""
    found = (variant.value(quantity) for quantity in quantities)
    return next((value for value in found if value is not None), math.inf)


def objectives_of(variants: Sequence[Variant]) -> Objectives:
    """Worst drop, mean size and mean latency ratio over the targets; infinite where unknown.

    On microcontrollers flash counts instead of the file's size, instructions instead of time.
    """
    sizes = [_first(variant, "flash" if variant.is_on_chip else "size") for variant in variants]
    ratios = [_first(variant, "latency_ratio", "instructions", "flash") for variant in variants]
    return (
        max(_first(variant, "drop") for variant in variants),
        sum(sizes) / len(sizes),
        sum(ratios) / len(ratios),
    )
