"""What a way of factorizing has to say."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import nn

from lilliput.edit.layers import Layer, Place
from lilliput.edit.reads import Reads

__all__ = ["Choice", "Factors", "Kind"]


@dataclass(frozen=True)
class Choice:
    """A form that a layer may take.

    Args:
        ranks: Of its factors; () for the layer as it is.
        macs: Multiplications for the example inputs.
        lost: Share of its outputs' energy, 0 to 1; of their variance where layers are compared.
    """

    ranks: tuple[int, ...]
    macs: int
    lost: float


@runtime_checkable
class Factors(Protocol):
    """One layer, taken apart."""

    @property
    def limits(self) -> tuple[int, ...]:
        """The ranks from which on nothing is lost."""
        ...

    def choices(self) -> list[Choice]:
        """What ranks cost and lose."""
        ...

    def build(self, ranks: tuple[int, ...]) -> list[nn.Module]:
        """The layers to run in a row."""
        ...


@runtime_checkable
class Kind(Protocol):
    """Takes layers apart."""

    def suits(self, layer: Layer) -> bool: ...

    def factors(self, place: Place, reads: Reads) -> Factors: ...
