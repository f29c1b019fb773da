"""How wide weights of some bits are in the file, and in memory when they run."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from lilliput.core import QuantizationRules

__all__ = ["Widths", "widths_of"]

_FLOAT = 32


@dataclass(frozen=True)
class Widths:
    """Of one layer's weight, by the bits it is rounded to.

    Args:
        stored: In the file.
        run: In memory.
    """

    stored: Mapping[int, int]
    run: Mapping[int, int]


def widths_of(operator: str, bits: Iterable[int], rules: QuantizationRules) -> Widths:
    """What a runtime makes of weights of an operator that reads integers of fixed scale.

    Args:
        operator: Its ATen packet.
        bits: To be looked at.
        rules: Of the target.
    """
    stored, run = {}, {}
    for width in bits:
        kind = replace(rules.weight, bits=width)
        kernel = rules.kernel_for(operator, "static", kind, rules.activation.bits)
        if kernel is None:
            stored[width] = min((b for b in rules.stored_bits if b >= width), default=width)
            run[width] = max(width, rules.weight.bits)
        else:
            stored[width], run[width] = kernel.stored(width), kernel.run(width) or _FLOAT
    return Widths(stored, run)
