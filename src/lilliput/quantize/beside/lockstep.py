"""The float network and the quantized one side by side, operator after operator.

Both see the same examples. What rounds or corrects a layer sees there what the layer reads in
either network, and what it is to give; what comes after it then reads the layer as it was left.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx import Node

from lilliput.core import PassError
from lilliput.quantize.beside.replay import Replay, attribute_of, keep, parameter_of
from lilliput.quantize.numbers.fake import FakeQuantize
from lilliput.quantize.placing.insert import layer_of
from lilliput.quantize.rounding.units import Unit, in_order

__all__ = ["Lockstep", "Place", "Stretch", "alone", "small_batches", "weighted"]

_BATCH = 16


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

    @property
    def wanted(self) -> list[Tensor]:
        """What the layer gives in the float network, one tensor a batch; computed when asked."""
        operator, rest = self.node.target, self.node.args[3:]
        assert callable(operator)  # noqa: S101
        with torch.no_grad():
            return [
                operator(x, self.weight_float, self.bias_float, *rest, **self.node.kwargs)
                for x in self.read_float
            ]


@dataclass(frozen=True, eq=False)
class Stretch:
    """A unit of layers, as the two networks come to it.

    Args:
        unit: Its nodes.
        reads: Of each node that the unit reads, what it gives in the quantized network, one tensor
            a batch.
        wanted: What the unit gives in the float network, one tensor a batch.
    """

    unit: Unit
    reads: Sequence[Sequence[Tensor]]
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
        self.module, self.batches = module, batches
        module.eval()
        self._places = dict(weighted(module))
        for node in self._places:
            for source in (parameter_of(node.args[1]), parameter_of(node.args[2:3])):
                keep(module, source)

    def walk(self) -> Iterator[Place]:
        """Gives each layer before the quantized network runs it."""
        plain, quantized = self._both()
        pending: list[Node] = []
        for node in self.module.graph.nodes:
            if node in self._places:
                plain.advance(pending)
                quantized.advance(pending)
                pending = []
                yield self._place(node, plain, quantized)
            pending.append(node)

    def walk_units(self, units: Sequence[Unit]) -> Iterator[Stretch]:
        """Gives each unit before the quantized network runs it."""
        plain, quantized = self._both()
        for before, unit in in_order(self.module.graph, units):
            for side in (plain, quantized):
                side.advance(before)
            plain.advance(unit.nodes)
            reads = [quantized[node] for node in unit.reads]
            yield Stretch(unit, reads, plain[unit.exit])
            quantized.advance(unit.nodes)

    def signals(self) -> Iterator[tuple[Node, Sequence[Any], Sequence[Any]]]:
        """Gives each node with what it gives in the float and in the quantized network."""
        plain, quantized = self._both()
        for node in self.module.graph.nodes:
            if node.op != "output" and node not in plain.constants:
                for side in (plain, quantized):
                    side.advance([node])
                if node.users:
                    yield node, plain[node], quantized[node]

    def _both(self) -> tuple[Replay, Replay]:
        return (
            Replay(self.module, self.batches, is_float=True),
            Replay(self.module, self.batches, is_float=False),
        )

    def _place(self, node: Node, plain: Replay, quantized: Replay) -> Place:
        source = node.args[0]
        assert isinstance(source, Node)  # noqa: S101
        weight, bias = parameter_of(node.args[1]), parameter_of(node.args[2:3])
        assert weight is not None  # noqa: S101
        return Place(
            layer=layer_of(node),
            node=node,
            quantizer=self._places[node],
            weight=attribute_of(self.module, weight, is_float=False),
            bias=None if bias is None else attribute_of(self.module, bias, is_float=False),
            weight_float=attribute_of(self.module, weight, is_float=True),
            bias_float=None if bias is None else attribute_of(self.module, bias, is_float=True),
            read=quantized[source],
            read_float=plain[source],
        )


def small_batches(
    batches: Iterable[tuple[Tensor, ...]], size: int = _BATCH
) -> list[tuple[Tensor, ...]]:
    """Inputs in batches small enough that what is computed of them fits in memory."""
    return [
        tuple(x[start : start + size] for x in inputs)
        for inputs in batches
        for start in range(0, len(inputs[0]), size)
    ]


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


def alone(module: fx.GraphModule) -> set[Node]:
    """The operators with a quantized weight that nothing else in the network reads."""
    readers: Counter[str] = Counter()
    for node in module.graph.nodes:
        if node.op == "get_attr":
            readers[str(node.target)] += len(node.users)
    return {node for node, _ in weighted(module) if readers[parameter_of(node.args[1]) or ""] == 1}
