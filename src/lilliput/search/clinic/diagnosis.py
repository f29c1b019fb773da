"""What a diagnosis says: the culprits, where the error grows, and what each remedy bought."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lilliput.core import Measurement
from lilliput.quantize.beside.signals import Signal, Spread, WeightRange

__all__ = ["Culprit", "Diagnosis", "Tried"]


@dataclass(frozen=True)
class Culprit:
    """One place where the network is quantized. All but `parity` is simulated in PyTorch.

    Args:
        name: Of the layer, or of the operator between layers whose result is rounded.
        operator: What the layer runs; "" for a tensor between layers.
        alone: Drop of the metric with nothing else quantized.
        alone_divergence: Divergence of the outputs then.
        weights: Drop with its weights alone quantized; None where it has none.
        weights_divergence: Divergence then.
        reads: Drop with what it reads alone quantized; None where that is all there is.
        reads_divergence: Divergence then.
        recovered: What the metric gains when it alone is left float.
        recovered_divergence: By how much the divergence falls then.
        decibels: Signal-to-noise ratio of its result in the quantized network.
        weight_range: How its weights fill their integers.
        read: Range of what it reads, in the float network.
        given: Range of what it gives.
        parity: Largest difference of its result in the file from the simulated one, as a share of
            its range; None where the file has no such result, for it was fused.
    """

    name: str
    operator: str
    alone: Measurement
    alone_divergence: float
    recovered: Measurement
    recovered_divergence: float
    weights: Measurement | None = None
    weights_divergence: float | None = None
    reads: Measurement | None = None
    reads_divergence: float | None = None
    decibels: float | None = None
    weight_range: WeightRange | None = None
    read: Spread | None = None
    given: Spread | None = None
    parity: float | None = None


@dataclass(frozen=True)
class Tried:
    """A variant made on the way, measured in its own runtime.

    Args:
        remedy: What was tried; "" for the first variant.
        variant: Name of the variant; "" where it could not be made.
        id: Its id in the registry.
        drop: From the original.
        bought: How much better it is than the best before, with a paired 95 % interval.
        is_kept: Whether the next remedy goes on from it.
        layers: Culprits that the remedy is about.
        reason: Why there is no such variant.
    """

    remedy: str
    variant: str = ""
    id: str = ""
    drop: Measurement | None = None
    bought: Measurement | None = None
    is_kept: bool = False
    layers: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class Diagnosis:
    """Why a quantized network loses accuracy, and what helped.

    Args:
        target: For which it was quantized.
        bits: Of its weights in the file.
        max_drop: The limit.
        divergence: What `alone_divergence` and its kind are: `KL`, or `relative squared error`.
        samples: How many validation examples the simulated figures are of.
        whole: Simulated drop of the whole network quantized.
        whole_divergence: Divergence then.
        culprits: Worst first.
        signals: Every tensor along the network.
        tried: The first variant, and what was tried after it.
        variant: Name of the best variant.
        id: Its id in the registry.
        is_within: Whether its drop is within the limit.
    """

    target: str
    bits: int
    max_drop: float
    divergence: str
    samples: int
    whole: Measurement
    whole_divergence: float
    culprits: tuple[Culprit, ...]
    signals: tuple[Signal, ...]
    tried: tuple[Tried, ...]
    variant: str
    id: str
    is_within: bool

    def as_dict(self) -> Mapping[str, Any]:
        """The same as JSON can hold it."""
        return dataclasses.asdict(self)
