"""Biases that take up what quantization shifts on average."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, fx, nn
from torch.fx import Node

from lilliput.core import Model, PassError, Stage, Task
from lilliput.core.progress import track
from lilliput.graph import operator_of
from lilliput.quantize.beside.lockstep import Lockstep, Place, small_batches, weighted
from lilliput.quantize.placing.insert import layer_of
from lilliput.quantize.repair.expected import ExpectedMeans

__all__ = ["CorrectBias", "CorrectBiasFromStatistics"]


@dataclass(frozen=True)
class CorrectBias:
    """Shifts each layer's bias so that its outputs have the float network's means.

    Layer after layer, the means of each channel are compared on examples. Layers without a bias get
    one; layers that run more than once stay.

    Args:
        task: Its training inputs are looked at, without labels.
        samples: How many examples. What two neighbouring layers read of them is held in memory.

    Source: Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias
    Correction", appendix D.
    """

    stage: ClassVar[Stage] = "reconstruct"

    task: Task
    samples: int = 256

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise ValueError(f"samples must be 1 or more, got {self.samples}")

    def __call__(self, model: Model, /) -> Model:
        """Gives the network with other biases.

        Raises:
            PassError: The network has no quantizers, or an example makes a layer NaN or infinite.
        """
        for place in _places(model, small_batches(self.task.calibration(self.samples))):
            if place.bias is not None:
                place.bias.add_(_seen(place))
        return model


@dataclass(frozen=True)
class CorrectBiasFromStatistics:
    """Does the same without data, from what BatchNorm layers knew before they were folded.

    Outputs are taken for normal, with BatchNorm's mean and deviation. Layers that read anything but
    such channels, clipped and averaged at most, stay as they are. Training or pruning makes the
    statistics untrue, so it comes right after quantization.

    Source: Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias
    Correction", section 4.2.
    """

    stage: ClassVar[Stage] = "reconstruct"

    def __call__(self, model: Model, /) -> Model:
        """Gives the network with other biases.

        Raises:
            PassError: The network has no quantizers.
        """
        module = model.module
        for place in _places(model, []):
            assert isinstance(module, fx.GraphModule)  # noqa: S101  _places refuses others
            if place.bias is not None:
                place.bias.add_(_expected(place, ExpectedMeans(module)))
        return model


def _places(model: Model, batches: list[tuple[Tensor, ...]]) -> Iterator[Place]:
    """The layers that run once, one after another, all with a bias."""
    walk = Lockstep(model.module, batches)
    layers = Counter(layer_of(node) for node, _ in weighted(walk.module))
    once = {layer for layer, count in layers.items() if count == 1}
    if _give_biases(walk.module, once):
        walk = Lockstep(model.module, batches)
    for place in track(walk.walk(), "bias correction", layers.total()):
        if place.layer in once:
            yield place


def _give_biases(module: fx.GraphModule, layers: set[str]) -> bool:
    """Gives those layers that have no bias one of zeros; says whether there were any."""
    found = False
    for node, _ in weighted(module):
        if layer_of(node) not in layers or node.args[2:3] not in {(), (None,)}:
            continue
        weight = node.args[1]
        while isinstance(weight, Node) and weight.op != "get_attr":
            weight = weight.all_input_nodes[0]
        assert isinstance(weight, Node)  # noqa: S101
        owner, _, leaf = str(weight.target).rpartition(".")
        name = "bias" if leaf == "weight" else f"{leaf}_bias"
        channels = torch.zeros(_by_channel(node, node.meta["val"]).shape[0])
        module.get_submodule(owner).register_parameter(name, nn.Parameter(channels))
        with module.graph.inserting_before(node):
            bias = module.graph.get_attr(f"{owner}.{name}".lstrip("."))
        node.args = (*node.args[:2], bias, *node.args[3:])
        found = True
    if found:
        module.recompile()
    return found


def _seen(place: Place) -> Float[Tensor, " channels"]:
    """The difference of means between the float network and the quantized one, on examples."""
    weight, bias, *rest = place.quantizer(place.weight), place.bias, *place.node.args[3:]
    assert callable(place.node.target)  # noqa: S101
    shift, count = torch.zeros(()), 0
    for read, wanted in zip(place.read, place.wanted, strict=True):
        given = place.node.target(read, weight, bias, *rest)
        missing = _by_channel(place.node, wanted - given)
        shift, count = shift + missing.double().sum(1), count + missing.shape[1]
    if not shift.isfinite().all():
        raise PassError(
            f"bias correction: {place.layer!r} gives NaN or infinite values; "
            "is one in the inputs, or in a weight?"
        )
    return shift / count


def _expected(place: Place, means: ExpectedMeans) -> Float[Tensor, " channels"]:
    """What rounding the weight takes from the means, by the statistics; zeros if not known."""
    assert place.bias is not None  # noqa: S101
    source, rest = place.node.args[0], place.node.args[3:]
    read = means.of(source) if isinstance(source, Node) else None
    if read is None:
        return torch.zeros_like(place.bias)
    missing = place.weight_float - place.quantizer(place.weight)
    assert callable(place.node.target)  # noqa: S101
    given = place.node.target(read.to(missing), missing, None, *rest)
    return _by_channel(place.node, given).mean(1)


def _by_channel(node: Node, x: Float[Tensor, "..."]) -> Float[Tensor, "channels positions"]:
    """A layer's output with its channels first."""
    axis = -1 if operator_of(node) == "linear" else 1
    return x.transpose(0, axis).flatten(1)
