"""What a runtime does with integers: which widths it computes with, stores, or makes floats."""

from dataclasses import dataclass
from typing import Literal

from lilliput.core.integer import Granularity, IntegerType, PerChannel, PerGroup, PerTensor

__all__ = ["Kernel", "Note", "Scheme"]

Scheme = Literal["static", "dynamic", "weights"]
"""How activations go: integers of fixed scale, integers of a scale found at run time, or floats."""


@dataclass(frozen=True)
class Note:
    """One line on what became of a wish.

    Args:
        text: The line.
        is_fallback: Whether something else was done than asked for; `strict` refuses these.
    """

    text: str
    is_fallback: bool = True

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Kernel:
    """What a runtime does with the quantized weights of some operators.

    Args:
        operators: By ATen packet.
        scheme: How their activations go.
        weight_bits: Widths that weights have when the operator runs.
        stored_bits: Narrower widths that the file may hold; they are widened to run.
        activation_bits: Widths of activations; narrower ones are held by the next wider.
        granularities: Which weights may share a scale: `PerTensor`, `PerChannel`, `PerGroup`.
        group_sizes: Sizes of groups; empty for any.
        group_scale_bits: Of the float that a group's scale is; 16 are those of bfloat16.
        symmetric_activation_bits: Widths whose zero point has to be in the middle.
        runs_in: Whether the operator computes in integers.
        why: What is to be said where it does not run as asked.
        source: Where these facts come from.
    """

    operators: frozenset[str]
    scheme: Scheme = "static"
    weight_bits: frozenset[int] = frozenset({8})
    stored_bits: frozenset[int] = frozenset()
    activation_bits: frozenset[int] = frozenset({8})
    granularities: frozenset[str] = frozenset({"PerTensor", "PerChannel"})
    group_sizes: frozenset[int] = frozenset()
    group_scale_bits: Literal[16, 32] = 32
    symmetric_activation_bits: frozenset[int] = frozenset()
    runs_in: Literal["integers", "floats"] = "integers"
    why: str = ""
    source: str = ""

    def stored(self, bits: int) -> int:
        """The width in the file of weights of so many bits."""
        return min(b for b in self.weight_bits | self.stored_bits if b >= bits)

    def run(self, bits: int) -> int:
        """The width that the operator reads them in; 0 where it reads floats."""
        if self.runs_in == "floats":
            return 0
        return min(b for b in self.weight_bits if b >= bits)

    def takes(self, weight: IntegerType, activation_bits: int = 0) -> bool:
        """Whether weights of a type, and activations so wide, have a place here."""
        fits = weight.bits <= max(self.weight_bits) and self.shares(weight.granularity)
        return fits and (
            self.scheme != "static" or activation_bits <= max(self.activation_bits, default=0)
        )

    def shares(self, granularity: Granularity) -> bool:
        """Whether weights may share scales like that."""
        is_known = type(granularity).__name__ in self.granularities
        match granularity:
            case PerGroup(size):
                return is_known and (not self.group_sizes or size in self.group_sizes)
            case PerTensor() | PerChannel():
                return is_known
