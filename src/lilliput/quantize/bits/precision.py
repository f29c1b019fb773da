"""Other bits than the rules say, layer by layer."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

from lilliput.core import IntegerType, UnsupportedError
from lilliput.core.spelling import did_you_mean

__all__ = ["Precision"]


@dataclass(frozen=True)
class Precision:
    """Bits by layer; what it does not name has the bits of the rules.

    A layer goes by its module's name, and `*` in a name stands for anything. A name counts before
    a pattern, and of patterns the last that fits: `{"*": 4, "conv1": 8}` are four bits everywhere
    but in `conv1`.

    Args:
        weights: Bits of the layers' weights.
        activations: Bits of what the layers with weights read. Where others read the same tensor
            with more bits, the layer reads a copy of its own.
        floats: Layers that stay float.
    """

    weights: Mapping[str, int] = field(default_factory=dict)
    activations: Mapping[str, int] = field(default_factory=dict)
    floats: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for bits in (*self.weights.values(), *self.activations.values()):
            IntegerType(bits)  # refuses bits that no integer has

    def weight(self, layer: str, usual: IntegerType) -> IntegerType:
        """The type of a layer's weight."""
        return _changed(self.weights, layer, usual)

    def activation(self, layer: str, usual: IntegerType) -> IntegerType:
        """The type of what a layer reads."""
        return _changed(self.activations, layer, usual)

    def is_float(self, layer: str) -> bool:
        """Whether a layer stays float."""
        return any(fnmatchcase(layer, pattern) for pattern in self.floats)

    def check(self, layers: Iterable[str]) -> None:
        """Refuses names that fit no layer.

        Args:
            layers: Those with a weight that could be quantized.

        Raises:
            UnsupportedError: Gives the name, and the nearest layer.
        """
        layers = list(layers)
        for pattern in (*self.weights, *self.activations, *self.floats):
            if not any(fnmatchcase(layer, pattern) for layer in layers):
                hint = did_you_mean(pattern, layers)
                raise UnsupportedError(f"no layer to quantize is called {pattern!r}; {hint}")


def _changed(bits: Mapping[str, int], layer: str, usual: IntegerType) -> IntegerType:
    fitting = [value for pattern, value in bits.items() if fnmatchcase(layer, pattern)]
    chosen = bits.get(layer, fitting[-1] if fitting else usual.bits)
    return replace(usual, bits=chosen)
