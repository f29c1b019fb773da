"""Where along a network the error grows, and the ranges of what flows through it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, fx
from torch.fx import Node

from lilliput.core import Model
from lilliput.core.progress import track
from lilliput.quantize.beside.lockstep import Lockstep, weighted
from lilliput.quantize.beside.replay import float_beside
from lilliput.quantize.numbers.fake import FakeQuantize
from lilliput.quantize.placing.insert import layer_of
from lilliput.quantize.placing.sites import node_names, quantizer_at
from lilliput.quantize.ranges.histogram import Histogram

__all__ = ["Signal", "Spread", "WeightRange", "signal_to_noise", "signals", "weight_ranges"]


@dataclass(frozen=True)
class Spread:
    """Five numbers that say how values lie.

    Args:
        least: The smallest.
        lower: A lower quantile.
        middle: The median.
        upper: An upper quantile.
        most: The largest.
    """

    least: float
    lower: float
    middle: float
    upper: float
    most: float


@dataclass(frozen=True)
class Signal:
    """What an operator gives in the float network, and how far the quantized one is from it.

    Args:
        name: The layer, or the module with what it runs: `layer1.0 (add)`.
        decibels: Signal-to-noise ratio; None where both give the same.
        values: Of the float network; the quantiles are those of 0.1 and 99.9 %.
    """

    name: str
    decibels: float | None
    values: Spread


@dataclass(frozen=True)
class WeightRange:
    """How a layer's weight fills its integers.

    Args:
        layer: Its name.
        ratio: The largest magnitude of the widest channel to that of the narrowest that is not all
            zeros.
        codes: Mean over the channels of what share of the integers lies between the smallest and
            the largest that the channel has.
        channels: Of the channels' largest magnitudes; the quantiles are quartiles.
    """

    layer: str
    ratio: float
    codes: float
    channels: Spread


def signal_to_noise(plain: Sequence[Tensor], other: Sequence[Tensor]) -> float | None:
    """How much stronger a signal is than what changed it, in dB; None where nothing did.

    Source: `10 log10(sum x^2 / sum (x - y)^2)`, as in Jain, "Fundamentals of Digital Image
    Processing", section 3.6.
    """
    power = sum(float(x.double().square().sum()) for x in plain)
    noise = sum(
        float((x.double() - y.double()).square().sum()) for x, y in zip(plain, other, strict=True)
    )
    if noise == 0:
        return None
    return 10 * math.log10(max(power, 1e-300) / noise)


@torch.no_grad()
def signals(model: Model, batches: Sequence[tuple[Tensor, ...]]) -> tuple[Signal, ...]:
    """Every tensor of a network along the way, in the order they are made.

    Args:
        model: With quantizers that act; it is not changed. An operator's result counts after the
            quantizer that follows it.
        batches: Examples; what is needed again of all of them is held in memory.

    Raises:
        PassError: The network has no quantizers that act.
    """
    walk = Lockstep(model.clone().module, batches)
    module = walk.module
    assert isinstance(module, fx.GraphModule)  # noqa: S101
    names = node_names(module)
    found: dict[Node, Signal] = {}
    computed: set[Node] = set()
    for node, plain, other in track(
        walk.signals(), "float beside quantized", len(module.graph.nodes)
    ):
        if node.op == "placeholder" or computed.intersection(node.all_input_nodes):
            computed.add(node)
        source = node
        while quantizer_at(module, source) is not None:
            source = source.all_input_nodes[0]
        value = plain[0] if plain else None
        is_float = isinstance(value, Tensor) and value.is_floating_point()
        if source in names and is_float and source in computed:
            known = found.get(source)
            values = known.values if known else _spread(plain)
            found[source] = Signal(names[source], signal_to_noise(plain, other), values)
    return tuple(found.values())


def _spread(values: Sequence[Tensor]) -> Spread:
    seen = Histogram()
    for value in values:
        seen.add(value)
    lower, middle, upper = (seen.quantile(share) for share in (0.001, 0.5, 0.999))
    return Spread(seen.low, lower, middle, upper, seen.high)


def weight_ranges(model: Model) -> dict[str, WeightRange]:
    """How the float weights of each quantized layer fill its integers, by layer."""
    module = model.module
    assert isinstance(module, fx.GraphModule)  # noqa: S101
    found = {}
    for node, quantizer in weighted(module):
        weight = node.args[1]
        assert isinstance(weight, Node)  # noqa: S101
        constant = weight.all_input_nodes[0]
        name = str(constant.target)
        kept = float_beside(module, name)
        value: Tensor = module.get_parameter(name) if kept is None else kept
        found[layer_of(node)] = _weight_range(layer_of(node), value.detach().float(), quantizer)
    return found


def _weight_range(layer: str, weight: Float[Tensor, "..."], quantizer: FakeQuantize) -> WeightRange:
    rows = weight.transpose(0, quantizer.axis or 0).flatten(1)
    largest = rows.abs().amax(1)
    used = largest[largest > 0]
    scale = quantizer.spread(quantizer.scale.detach(), weight)
    codes = (weight / scale).round().clamp(quantizer.type.low, quantizer.type.high)
    ends = codes.transpose(0, quantizer.axis or 0).flatten(1).aminmax(dim=1)
    every = quantizer.type.high - quantizer.type.low + 1
    shares = (ends.max - ends.min + 1) / every
    quarters = torch.quantile(largest, torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0])).tolist()
    return WeightRange(
        layer,
        float(used.max() / used.min()) if len(used) else 1.0,
        float(shares.clamp_max(1.0).mean()),
        Spread(*quarters),
    )
