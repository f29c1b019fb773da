"""Budgets for bits: what each layer costs at each width, and how much it may be in all."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from lilliput.core import BudgetError, UnsupportedError
from lilliput.core.spelling import did_you_mean
from lilliput.quantize.bits.bit_sensitivity import BitSensitivity

__all__ = ["AverageBits", "BitBudget", "LayerCosts", "RamBytes", "WeightBytes"]

Costs = dict[str, dict[int, float]]


@runtime_checkable
class BitBudget(Protocol):
    """A limit on a sum over layers."""

    @property
    def limit(self) -> int | float:
        """The most that the sum may be."""
        ...

    def costs(self, sensitivity: BitSensitivity, /) -> Costs:
        """What each layer adds at each width, in the limit's unit."""
        ...


@dataclass(frozen=True)
class AverageBits:
    """Bits of a weight in the mean over all weights, whatever the file stores them in.

    Args:
        limit: At most so many, 2 to 16.
    """

    limit: int | float

    def __post_init__(self) -> None:
        if not 2 <= self.limit <= 16:
            raise ValueError(f"average bits must be 2 to 16, got {self.limit}")

    def costs(self, sensitivity: BitSensitivity, /) -> Costs:
        total = sum(sensitivity.counts.values())
        return {
            layer: {bits: sensitivity.counts[layer] * bits / total for bits in losses}
            for layer, losses in sensitivity.losses.items()
        }


@dataclass(frozen=True)
class WeightBytes:
    """Bytes that the weights take in the file, which stores them in a few widths only.

    Tables and weights that stay float are among them; what they take is spread evenly over the
    layers. Scales, biases and the graph come on top, and are the same whatever the bits.

    Args:
        limit: At most so many.
    """

    limit: int

    def __post_init__(self) -> None:
        if self.limit < 1:
            raise ValueError(f"bytes of weights must be 1 or more, got {self.limit}")

    def costs(self, sensitivity: BitSensitivity, /) -> Costs:
        share = sensitivity.fixed_bytes / len(sensitivity.losses)
        return {
            layer: {bits: sensitivity.weight_bytes({layer: bits}) + share for bits in losses}
            for layer, losses in sensitivity.losses.items()
        }


@dataclass(frozen=True)
class RamBytes:
    """Bytes of memory while the network runs: weights as the runtime holds them, and activations.

    Weights that the runtime widens when it loads the file cost the same whatever their bits.
    Activations count with the most that is live at once for one example, as integers and before
    operators are merged. What does not depend on the bits is spread evenly over the layers. The
    runtime's own buffers come on top.

    Args:
        limit: At most so many.
    """

    limit: int

    def __post_init__(self) -> None:
        if self.limit < 1:
            raise ValueError(f"bytes of memory must be 1 or more, got {self.limit}")

    def costs(self, sensitivity: BitSensitivity, /) -> Costs:
        fixed = sensitivity.activation_bytes + sensitivity.fixed_bytes
        share = fixed / len(sensitivity.losses)
        return {
            layer: {bits: sensitivity.ram_bytes({layer: bits}) + share for bits in losses}
            for layer, losses in sensitivity.losses.items()
        }


@dataclass(frozen=True)
class LayerCosts:
    """A cost given for each layer and width: milliseconds of a device that runs few bits faster.

    Args:
        by_layer: Costs by layer and bits; a layer left out costs nothing, and a width left out is
            not used.
        limit: At most so much in all.
    """

    by_layer: Mapping[str, Mapping[int, float]]
    limit: int | float

    def costs(self, sensitivity: BitSensitivity, /) -> Costs:
        for layer in self.by_layer:
            if layer not in sensitivity.losses:
                hint = did_you_mean(layer, sensitivity.losses)
                raise UnsupportedError(f"no layer to quantize is called {layer!r}; {hint}")
        found: Costs = {}
        for layer, losses in sensitivity.losses.items():
            given = self.by_layer.get(layer)
            found[layer] = {
                bits: 0.0 if given is None else float(given[bits])
                for bits in losses
                if given is None or bits in given
            }
            if not found[layer]:
                widths = ", ".join(map(str, losses))
                raise BudgetError(
                    f"layer {layer!r} has costs for {sorted(given or ())} bits, and losses for "
                    f"{widths}; give a cost for one of these"
                )
        return found
