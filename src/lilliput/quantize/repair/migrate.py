"""Large activations made smaller and the weights that read them larger, channel by channel."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, fx, nn
from torch.fx import Node

from lilliput.core import Model, Stage, Task
from lilliput.graph import capture, fold_batch_norm, shape_of
from lilliput.quantize.repair.channel_paths import ChannelPath, paths_from, start_of
from lilliput.quantize.repair.channel_ranges import ChannelValues, channel_ranges
from lilliput.quantize.repair.noise import layer_noise
from lilliput.quantize.repair.scalable import ScalableLayer, scalable_layers

__all__ = ["MigrateScales"]

_Channels = Float[Tensor, " channels"]
_STRENGTHS = tuple(step / 20 for step in range(21))


@dataclass(frozen=True)
class MigrateScales:
    """Moves the ranges of activations' channels into the weights of the layers that read them.

    One scale serves a whole activation, so a channel a hundred times larger than the others leaves
    them few codes; weights have room for it. Each channel is divided by `activation**strength /
    weight**(1 - strength)`, both being largest values, and the weights that read it are multiplied
    by that. The strength is chosen for each tensor, as the one with which integers of eight bits
    are expected to bring the least noise into the layers that read it. LayerNorm, BatchNorm or a
    layer with weights gives the channel smaller where only layers with weights read it, through
    ReLU or whatever else lets a factor pass; the network computes what it did. Where other
    operators read it too, such as a residual addition, it stays, unless products may be put in.
    BatchNorm is folded first.

    Args:
        task: Its training inputs are looked at, without labels.
        strength: How much goes into the weights: 0 evens out the weights, 1 the activations; None
            chooses.
        samples: How many examples.
        inserts_products: Whether linear layers that read what cannot be given smaller get a product
            of their own before them, which costs a pass over the activation.

    Source: Xiao et al. 2023, "SmoothQuant", eq. 4.
    """

    stage: ClassVar[Stage] = "edit"

    task: Task
    strength: float | None = None
    samples: int = 512
    inserts_products: bool = False

    def __post_init__(self) -> None:
        if self.strength is not None and not 0 <= self.strength <= 1:
            raise ValueError(f"strength must be 0 to 1, got {self.strength}")
        if self.samples < 1:
            raise ValueError(f"samples must be 1 or more, got {self.samples}")

    def __call__(self, model: Model, /) -> Model:
        """Gives a captured network with other weights; what cannot be migrated stays.

        Raises:
            TraceError: The network cannot be traced.
            PassError: An example makes an activation NaN or infinite.
        """
        folded, _ = fold_batch_norm(model)
        captured = capture(folded, keeps_masks=False)
        module = captured.module
        assert isinstance(module, fx.GraphModule)  # noqa: S101
        makers = list(_makers(module))
        if self.inserts_products:
            makers += _products(module, {path.source for maker in makers for path in maker.paths})
        # a layer's own scales change nothing of what it reads, so all are found from one run
        axes = {path.source: path.axis for maker in makers for path in maker.paths}
        seen = channel_ranges(module, axes, self.task.calibration(self.samples)) if axes else {}
        factors = [maker.factors(seen, self.strength) for maker in makers]
        for maker, chosen in zip(makers, factors, strict=True):
            maker.divide(chosen)
        module.recompile()
        return captured


@dataclass(frozen=True, eq=False)
class _Maker:
    """What can give channels divided by something, and the ways to all that read them.

    Args:
        paths: One for each reader.
        layer: That makes the channels, if one with weights does.
        vectors: Parameters or buffers that have a number for each channel, otherwise.
    """

    paths: Sequence[ChannelPath]
    layer: ScalableLayer | None = None
    vectors: tuple[Tensor, ...] = ()

    def factors(self, seen: Mapping[Node, ChannelValues], strength: float | None) -> _Channels:
        """What each channel is divided by: of no strength, what brings the least noise."""
        if strength is not None:
            return self._factors(seen, strength)
        choices = [self._factors(seen, strength) for strength in _STRENGTHS]
        choices.append(torch.ones_like(choices[0]))
        return min(choices, key=lambda factors: self._noise(seen, factors))

    def _noise(self, seen: Mapping[Node, ChannelValues], factors: _Channels) -> float:
        """What the layers that read the channels are expected to err by."""
        total = 0.0
        for path in self.paths:
            assert path.reader is not None  # noqa: S101
            spread = factors.repeat_interleave(path.repeat)
            total += layer_noise(path.reader, seen[path.source], spread)
        return total

    def _factors(self, seen: Mapping[Node, ChannelValues], strength: float) -> _Channels:
        """The same of one strength; 1 where a channel is zero, or nothing weighs it."""
        activations, weights = [], []
        for path in self.paths:
            low, high, _ = seen[path.source]
            activations.append(torch.maximum(-low, high).double().view(-1, path.repeat).amax(1))
            assert path.reader is not None  # noqa: S101
            weights.append(path.reader.input_ranges(path.repeat))
        activation, weight = (torch.stack(x).amax(0) for x in (activations, weights))
        is_used = (activation > 0) & (weight > 0)
        return torch.where(is_used, activation**strength / weight ** (1 - strength), 1.0)

    @torch.no_grad()
    def divide(self, factors: _Channels) -> None:
        """Divides the channels, and multiplies the weights that read them."""
        if self.layer is not None:
            self.layer.scale_outputs(1 / factors)
        for vector in self.vectors:
            vector.copy_(vector.double() / factors)
        for path in self.paths:
            assert path.reader is not None  # noqa: S101
            path.reader.scale_inputs(factors, path.repeat)


def _makers(module: fx.GraphModule) -> Iterator[_Maker]:
    layers = scalable_layers(module)
    calls = [node.target for node in module.graph.nodes if node.op == "call_module"]
    for node in module.graph.nodes:
        layer = layers.get(node)
        norm = module.get_submodule(str(node.target)) if node.op == "call_module" else None
        vectors: tuple[Tensor, ...] = ()
        if layer is not None:
            start = start_of(layer)
        elif isinstance(norm, nn.LayerNorm | nn.BatchNorm1d | nn.BatchNorm2d):
            vectors = tuple(norm.parameters())
            is_one_axis = not isinstance(norm, nn.LayerNorm) or len(norm.normalized_shape) == 1
            if not vectors or not is_one_axis or calls.count(node.target) > 1:
                continue
            last = len(shape_of(node)) - 1
            start = ChannelPath(node, last if isinstance(norm, nn.LayerNorm) else 1)
        else:
            continue
        paths = paths_from(module, layers, start)
        if paths and not any(path.clips for path in paths):
            yield _Maker(paths, layer, vectors)


def _products(module: fx.GraphModule, served: set[Node]) -> list[_Maker]:
    """Puts a product before the linear layers that read anything else, one for each tensor."""
    readers: dict[Node, list[ScalableLayer]] = {}
    for layer in scalable_layers(module).values():
        source = layer.node.args[0]
        if layer.kind == "linear" and isinstance(source, Node) and source not in served:
            readers.setdefault(source, []).append(layer)
    makers = []
    for source, layers in readers.items():
        name = f"{source.name}_factors"
        factors = torch.ones_like(layers[0].weight[0])
        module.register_buffer(name, factors)
        with module.graph.inserting_before(layers[0].node):
            constant = module.graph.get_attr(name)
            product = module.graph.call_function(torch.ops.aten.mul.Tensor, (source, constant))
        constant.meta, product.meta = {"val": factors}, dict(source.meta)
        for layer in layers:
            layer.node.replace_input_with(source, product)
        start = ChannelPath(product, len(shape_of(source)) - 1)
        makers.append(
            _Maker([replace(start, reader=layer) for layer in layers], vectors=(factors,))
        )
    return makers
