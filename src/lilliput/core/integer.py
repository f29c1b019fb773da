"""How reals become integers: the width, the zero, and how many numbers share a scale."""

from dataclasses import dataclass

__all__ = ["Granularity", "IntegerType", "PerChannel", "PerGroup", "PerTensor"]


@dataclass(frozen=True)
class PerTensor:
    """One scale for the whole tensor."""


@dataclass(frozen=True)
class PerChannel:
    """One scale for each output channel."""


@dataclass(frozen=True)
class PerGroup:
    """One scale for every `size` neighbours among the weights of an output channel.

    Args:
        size: Weights that share a scale. A layer whose channels it does not divide has one scale
            for each channel.

    Source: Shen et al. 2019, "Q-BERT", section 3.2.
    """

    size: int

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"a group holds 1 weight or more, got {self.size}")


Granularity = PerTensor | PerChannel | PerGroup


@dataclass(frozen=True)
class IntegerType:
    """How numbers become integers: `real = scale * (integer - zero_point)`.

    Args:
        bits: Width, 2 to 16. Two symmetric bits are ternary: -1, 0, 1.
        is_signed: Range around zero, or from zero up.
        is_symmetric: Zero point in the middle of the range (0 when signed), lowest code unused.
        granularity: How many numbers share a scale.
        is_power_of_two: Scales are powers of two, for devices that shift instead of multiply.

    Source: Jacob et al. 2018, eq. 1.
    """

    bits: int = 8
    is_signed: bool = True
    is_symmetric: bool = False
    granularity: Granularity = PerTensor()
    is_power_of_two: bool = False

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 16:
            raise ValueError(f"bits must be 2 to 16, got {self.bits}")

    @property
    def low(self) -> int:
        """The smallest integer used."""
        if not self.is_signed:
            return 0
        return int(self.is_symmetric) - (1 << (self.bits - 1))

    @property
    def high(self) -> int:
        """The largest integer used."""
        return (1 << (self.bits - int(self.is_signed))) - 1

    def __str__(self) -> str:
        sign = "int" if self.is_signed else "uint"
        symmetry = "symmetric" if self.is_symmetric else "with a zero point"
        match self.granularity:
            case PerTensor():
                where = "per tensor"
            case PerChannel():
                where = "per channel"
            case PerGroup(size):
                where = f"per group of {size}"
        steps = ", steps powers of two" if self.is_power_of_two else ""
        return f"{sign}{self.bits} {symmetry} {where}{steps}"
