"""The float network and the quantized one side by side, operator after operator.

Both see the same examples. What rounds or corrects a layer sees there what the layer reads in
either network, and what it is to give; what comes after it then reads the layer as it was left.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx import Node

from lilliput.core import PassError
from lilliput.quantize.fake import FakeQuantize
from lilliput.quantize.insert import layer_of

__all__ = ["Lockstep", "Place", "float_beside", "last_uses", "weighted"]

_KEPT = "_float"


@dataclass(frozen=True, eq=False)
class Place:
    """A layer with a quantized weight, as the two networks come to it.

    Args:
        layer: Its name.
        node: The operator; its arguments are input, weight and bias.
        quantizer: Of its weight.
        weight: May be changed in place; what the quantizer rounds.
        bias: May be changed in place; None where the layer has none.
        weight_float: The float network's.
        bias_float: The float network's.
        read: What the layer reads in the quantized network, one tensor a batch.
        read_float: What it reads in the float network.
        wanted: What it gives in the float network.
    """

    layer: str
    node: Node
    quantizer: FakeQuantize
    weight: Tensor
    bias: Tensor | None
    weight_float: Tensor
    bias_float: Tensor | None
    read: Sequence[Tensor]
    read_float: Sequence[Tensor]
    wanted: Sequence[Tensor]


class Lockstep:
    """Runs a captured network with quantizers, with and without them.

    The first pass that changes a weight or a bias keeps the float one beside it, in the module.

    Args:
        module: With quantizers that act; changed by who walks.
        batches: Inputs of each batch.

    Raises:
        PassError: The network has no quantizers that act.
    """

    def __init__(self, module: nn.Module, batches: Sequence[tuple[Tensor, ...]]) -> None:
        if not isinstance(module, fx.GraphModule) or not weighted(module):
            raise PassError("the network has no quantized weights; QuantizeStatic comes before")
        self.module, self.batches = module.eval(), batches
        self._places = weighted(module)
        for node, _ in self._places:
            for source in (_parameter(node.args[1]), _parameter(node.args[2:3])):
                _keep(module, source)
        self._last_use = last_uses(module.graph)

    @torch.no_grad()
    def walk(self) -> Iterator[Place]:
        """Gives each layer before the quantized network runs it."""
        plain: dict[Node, list[Any]] = {}
        quantized: dict[Node, list[Any]] = {}
        places = dict(self._places)
        for node in self.module.graph.nodes:
            plain[node] = self._run(node, plain, is_float=True)
            if node in places:
                yield self._place(node, places[node], plain, quantized)
                self._round_again(node, quantized)
            quantized[node] = self._run(node, quantized, is_float=False)
            for done in self._last_use.get(node, ()):
                plain.pop(done, None)
                quantized.pop(done, None)

    @torch.no_grad()
    def signals(self) -> Iterator[tuple[Node, list[Any], list[Any]]]:
        """Gives each node with what it gives in the float and in the quantized network."""
        plain: dict[Node, list[Any]] = {}
        quantized: dict[Node, list[Any]] = {}
        for node in self.module.graph.nodes:
            plain[node] = self._run(node, plain, is_float=True)
            quantized[node] = self._run(node, quantized, is_float=False)
            yield node, plain[node], quantized[node]
            for done in self._last_use.get(node, ()):
                plain.pop(done, None)
                quantized.pop(done, None)

    def _round_again(self, node: Node, quantized: dict[Node, list[Any]]) -> None:
        """The weight ran through its quantizer before it was changed."""
        call = node.args[1]
        assert isinstance(call, Node)  # noqa: S101
        for constant in (*call.all_input_nodes, call):
            quantized[constant] = self._run(constant, quantized, is_float=False)

    def _run(self, node: Node, values: dict[Node, list[Any]], is_float: bool) -> list[Any]:
        """What a node gives, for every batch; a constant gives one value for all."""
        if node.op == "placeholder":
            position = [n for n in self.module.graph.nodes if n.op == "placeholder"].index(node)
            return [batch[position] for batch in self.batches]
        if node.op == "get_attr":
            value = _attribute(self.module, str(node.target), is_float)
            return [value] * len(self.batches)
        return [self._call(node, values, batch, is_float) for batch in range(len(self.batches))]

    def _call(self, node: Node, values: dict[Node, list[Any]], batch: int, is_float: bool) -> Any:
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), lambda n: values[n][batch])
        if node.op == "output":
            return args[0]
        if node.op == "call_module":
            part = self.module.get_submodule(str(node.target))
            if is_float and isinstance(part, FakeQuantize):
                return args[0]
            return part(*args, **kwargs)
        assert callable(node.target)  # noqa: S101
        return node.target(*args, **kwargs)

    def _place(
        self,
        node: Node,
        quantizer: FakeQuantize,
        plain: dict[Node, list[Any]],
        quantized: dict[Node, list[Any]],
    ) -> Place:
        source = node.args[0]
        assert isinstance(source, Node)  # noqa: S101
        weight, bias = _parameter(node.args[1]), _parameter(node.args[2:3])
        assert weight is not None  # noqa: S101
        return Place(
            layer=layer_of(node),
            node=node,
            quantizer=quantizer,
            weight=_attribute(self.module, weight, is_float=False),
            bias=None if bias is None else _attribute(self.module, bias, is_float=False),
            weight_float=_attribute(self.module, weight, is_float=True),
            bias_float=None if bias is None else _attribute(self.module, bias, is_float=True),
            read=quantized[source],
            read_float=plain[source],
            wanted=plain[node],
        )


def weighted(module: fx.GraphModule) -> list[tuple[Node, FakeQuantize]]:
    """The operators whose weight passes a quantizer that acts, and the quantizer."""
    found = []
    for node in module.graph.nodes:
        weight = node.args[1] if node.op == "call_function" and len(node.args) > 1 else None
        if not isinstance(weight, Node) or weight.op != "call_module":
            continue
        part = module.get_submodule(str(weight.target))
        if isinstance(part, FakeQuantize) and part.is_enabled and "is_weight" in weight.meta:
            found.append((node, part))
    return found


def _parameter(argument: Any) -> str | None:
    """The name of a weight or bias, its quantizer looked through."""
    node = argument[0] if isinstance(argument, tuple) and argument else argument
    while isinstance(node, Node) and node.op == "call_module":
        node = node.args[0]
    return str(node.target) if isinstance(node, Node) and node.op == "get_attr" else None


def _attribute(module: nn.Module, name: str, is_float: bool) -> Tensor:
    owner, _, leaf = name.rpartition(".")
    holder = module.get_submodule(owner)
    value: Tensor = getattr(holder, leaf)
    kept = float_beside(module, name) if is_float else None
    return (value if kept is None else kept).detach()


def float_beside(module: nn.Module, name: str) -> Tensor | None:
    """What a weight or bias was before a pass changed it; None where none did."""
    owner, _, leaf = name.rpartition(".")
    kept: Tensor | None = getattr(module.get_submodule(owner), leaf + _KEPT, None)
    return kept


def _keep(module: nn.Module, name: str | None) -> None:
    """Puts a copy of the float beside a weight or bias, once."""
    if name is None:
        return
    owner, _, leaf = name.rpartition(".")
    holder = module.get_submodule(owner)
    if not hasattr(holder, leaf + _KEPT):
        value: Tensor = getattr(holder, leaf)
        holder.register_buffer(leaf + _KEPT, value.detach().clone())


def last_uses(graph: fx.Graph) -> dict[Node, list[Node]]:
    """Whose values nobody reads after a node."""
    last: dict[Node, Node] = {}
    for node in graph.nodes:
        last[node] = node
        for source in node.all_input_nodes:
            last[source] = node
    gone: dict[Node, list[Node]] = {}
    for node, user in last.items():
        gone.setdefault(user, []).append(node)
    return gone
