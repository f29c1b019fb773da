"""Layers whose channels can be scaled, on the way out and on the way in."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, fx, nn
from torch.fx import Node

from lilliput.quantize.placing.open_layers import WITH_WEIGHT, operator_kind

__all__ = ["ScalableLayer", "scalable_layers"]

_Channels = Float[Tensor, " channels"]


@dataclass(frozen=True, eq=False)
class ScalableLayer:
    """A layer that runs once and shares no parameter.

    Args:
        node: Its call, or its operator where it is written as a function.
        kind: The operator's ATen packet name.
        holder: The module that has its weight.
        weight: Changed in place.
        bias: Changed in place; None where it has none.
        groups: Into how many its channels fall.
    """

    node: Node
    kind: str
    holder: nn.Module
    weight: nn.Parameter
    bias: nn.Parameter | None
    groups: int

    @property
    def is_transposed(self) -> bool:
        """Whether input channels come first in the weight."""
        return self.kind == "conv_transpose2d"

    @property
    def statistics(self) -> tuple[_Channels, _Channels] | None:
        """Mean and deviation of its outputs, where a folded BatchNorm left them."""
        mean = getattr(self.holder, "output_mean", None)
        deviation = getattr(self.holder, "output_deviation", None)
        if not isinstance(mean, Tensor) or not isinstance(deviation, Tensor):
            return None
        # channels may have been pruned since
        return (mean, deviation) if len(mean) == len(self.output_ranges()) else None

    def output_ranges(self) -> _Channels:
        """The largest weight of each output channel, without its sign."""
        return self._ranges(is_first=not self.is_transposed)

    def input_ranges(self, repeat: int = 1) -> _Channels:
        """The largest weight that reads each input channel.

        Args:
            repeat: Inputs that belong to one channel, as after a flatten.
        """
        return self._ranges(is_first=self.is_transposed).view(-1, repeat).amax(1)

    def by_group(self) -> Float[Tensor, "groups outputs inputs taps"]:
        """The weight, outputs and inputs counted within their group."""
        weight = self.weight.detach().double()
        first, second = weight.shape[:2]
        grouped = weight.reshape(self.groups, first // self.groups, second, -1)
        return grouped.transpose(1, 2) if self.is_transposed else grouped

    @torch.no_grad()
    def scale_outputs(self, factors: _Channels) -> None:
        """Multiplies each output channel, bias and statistics with it."""
        self._scale(factors, is_first=not self.is_transposed)
        statistics = self.statistics or ()
        for values in (*statistics, *(() if self.bias is None else (self.bias,))):
            values.copy_(values.double() * factors)

    @torch.no_grad()
    def scale_inputs(self, factors: _Channels, repeat: int = 1) -> None:
        """Multiplies what reads each input channel."""
        self._scale(factors.repeat_interleave(repeat), is_first=self.is_transposed)

    def _ranges(self, is_first: bool) -> _Channels:
        if is_first:
            return self.weight.detach().double().abs().flatten(1).amax(1)
        weight = self.by_group().abs()
        return weight.amax((2, 3) if self.is_transposed else (1, 3)).flatten()

    def _scale(self, factors: _Channels, is_first: bool) -> None:
        first, others = len(self.weight), [1] * (self.weight.dim() - 2)
        if is_first:
            spread = factors.view(-1, 1, *others)
        else:
            # the second axis counts within a group
            by_group = factors.view(self.groups, 1, -1)
            rows = by_group.expand(-1, first // self.groups, -1)
            spread = rows.reshape(first, -1, *others)
        self.weight.copy_(self.weight.double() * spread)


def scalable_layers(module: fx.GraphModule) -> dict[Node, ScalableLayer]:
    """The layers of a captured network that can be scaled without touching anything else."""
    readers = _readers(module)
    found = {}
    for layer in _layers(module):
        own = [layer.weight, *([] if layer.bias is None else [layer.bias])]
        if all(readers[id(parameter)] == 1 for parameter in own):
            found[layer.node] = layer
    return found


def _layers(module: fx.GraphModule) -> Iterator[ScalableLayer]:
    for node in module.graph.nodes:
        kind = operator_kind(module, node)
        if kind not in WITH_WEIGHT:
            continue
        found = _of_module(module, node) if node.op == "call_module" else _of_call(module, node)
        if found is not None:
            yield ScalableLayer(node, kind, *found)


_Found = tuple[nn.Module, nn.Parameter, nn.Parameter | None, int]


def _of_module(module: fx.GraphModule, node: Node) -> _Found | None:
    holder = module.get_submodule(str(node.target))
    weight, bias = holder.weight, holder.bias
    is_stored = isinstance(weight, nn.Parameter) and isinstance(bias, nn.Parameter | None)
    if not is_stored or getattr(holder, "padding_mode", "zeros") != "zeros":
        return None
    return holder, weight, bias, int(getattr(holder, "groups", 1))  # type: ignore[return-value]


def _of_call(module: fx.GraphModule, node: Node) -> _Found | None:
    given = node.args[1:3]
    weight, bias = (_parameter(module, _name(argument)) for argument in (*given, None)[:2])
    # an argument that the network computes has no name
    is_computed = bias is None and len(given) > 1 and given[1] is not None
    if weight is None or is_computed:
        return None
    holder = module.get_submodule((_name(given[0]) or "").rpartition(".")[0])
    groups = node.args[6] if len(node.args) > 6 else 1
    return holder, weight, bias, int(groups)  # type: ignore[arg-type]


def _readers(module: fx.GraphModule) -> Counter[int]:
    """How many calls read each parameter, by its identity."""
    readers: Counter[int] = Counter()
    for node in module.graph.nodes:
        if node.op == "call_module":
            part = module.get_submodule(str(node.target))
            readers.update(id(parameter) for parameter in part.parameters())
        elif node.op == "get_attr":
            readers[id(_parameter(module, str(node.target)))] += len(node.users)
    return readers


def _name(argument: object) -> str | None:
    is_stored = isinstance(argument, Node) and argument.op == "get_attr"
    return str(argument.target) if is_stored else None  # type: ignore[attr-defined]


def _parameter(module: fx.GraphModule, name: str | None) -> nn.Parameter | None:
    if name is None:
        return None
    owner, _, leaf = name.rpartition(".")
    value = getattr(module.get_submodule(owner), leaf)
    return value if isinstance(value, nn.Parameter) else None
