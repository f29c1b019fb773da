"""A captured network run a stretch of nodes at a time, for all batches, holding what is read later.

Within a stretch the batches go one after another, so that only what a later stretch reads is held
for all of them.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx import Node

from lilliput.quantize.numbers.fake import FakeQuantize

__all__ = [
    "KEPT",
    "Replay",
    "attribute_of",
    "constants",
    "float_beside",
    "floats_beside",
    "keep",
    "last_uses",
    "parameter_of",
]

KEPT = "_float"
"""Ends the name of what is kept beside a weight or bias."""


class Replay:
    """One of the two networks, part way through.

    Args:
        module: A captured network.
        batches: Inputs of each batch.
        is_float: Without quantizers, and with the weights and biases that were kept.
        values: What nodes that have run already gave, for each batch.
    """

    def __init__(
        self,
        module: fx.GraphModule,
        batches: Sequence[tuple[Tensor, ...]],
        is_float: bool,
        values: Mapping[Node, Sequence[Any]] | None = None,
    ) -> None:
        self.module, self.batches, self.is_float = module, batches, is_float
        self.constants = constants(module)
        self.inputs = [node for node in module.graph.nodes if node.op == "placeholder"]
        (result,) = (node for node in module.graph.nodes if node.op == "output")
        # nobody in the network reads what it gives
        self._gone = last_uses(module.graph, {*self.constants, result})
        self._values = {node: list(given) for node, given in (values or {}).items()}

    def __getitem__(self, node: Node) -> list[Any]:
        """What a node gave, for each batch."""
        return self._values[node]

    @property
    def held(self) -> set[Node]:
        """Nodes whose values are in memory."""
        return set(self._values)

    def copied(self) -> "Replay":
        """Another one that goes on from here; what is in memory is shared."""
        return Replay(self.module, self.batches, self.is_float, self._values)

    @torch.no_grad()
    def advance(self, nodes: Sequence[Node]) -> None:
        """Runs nodes, whose sources have run, and drops what nobody reads any more."""
        fixed: dict[Node, Any] = {}
        flowing = [node for node in nodes if node not in self.constants]
        held = {node: list[Any]() for node in flowing}
        for batch in range(len(self.batches)):
            local: dict[Node, Any] = {}
            for node in flowing:
                local[node] = self._run(node, batch, local, fixed)
                for done in self._gone.get(node, ()):
                    local.pop(done, None)
                    if done in self._values:
                        self._values[done][batch] = None
            for node in flowing:
                held[node].append(local.get(node))
        past = {source for node in flowing for source in self._gone.get(node, ())}
        self._values.update(held)
        self._values = {node: v for node, v in self._values.items() if node not in past}

    def _run(self, node: Node, batch: int, local: dict[Node, Any], fixed: dict[Node, Any]) -> Any:
        if node.op == "placeholder":
            return self.batches[batch][self.inputs.index(node)]

        def value(source: Node) -> Any:
            if source in local:
                return local[source]
            if source not in self.constants:
                return self._values[source][batch]
            if source not in fixed:
                fixed[source] = self.call(source, value)
            return fixed[source]

        return self.call(node, value)

    def call(self, node: Node, value: Any) -> Any:
        """What a node gives.

        Args:
            node: Anything but an input.
            value: Maps a source of the node to what it gave.
        """
        if node.op == "get_attr":
            return attribute_of(self.module, str(node.target), self.is_float)
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), value)
        if node.op == "output":
            return args[0]
        if node.op == "call_module":
            part = self.module.get_submodule(str(node.target))
            if self.is_float and isinstance(part, FakeQuantize):
                return args[0]
            return part(*args, **kwargs)
        assert callable(node.target)  # noqa: S101
        return node.target(*args, **kwargs)


def constants(module: fx.GraphModule) -> frozenset[Node]:
    """Nodes that give the same for every input: weights, and what is computed of them alone."""
    found: set[Node] = set()
    for node in module.graph.nodes:
        if node.op not in {"placeholder", "output"} and found.issuperset(node.all_input_nodes):
            found.add(node)
    return frozenset(found)


def parameter_of(argument: Any) -> str | None:
    """The name of a weight or bias, its quantizer looked through."""
    node = argument[0] if isinstance(argument, tuple) and argument else argument
    while isinstance(node, Node) and node.op == "call_module":
        node = node.args[0]
    return str(node.target) if isinstance(node, Node) and node.op == "get_attr" else None


def attribute_of(module: nn.Module, name: str, is_float: bool) -> Any:
    """A parameter or buffer; the one that was kept where the float network is meant."""
    owner, _, leaf = name.rpartition(".")
    holder = module.get_submodule(owner)
    value = getattr(holder, leaf)
    kept = getattr(holder, leaf + KEPT, None) if is_float else None
    value = value if kept is None else kept
    return value.detach() if isinstance(value, Tensor) else value


def float_beside(module: nn.Module, name: str) -> Tensor | None:
    """What a weight or bias was before a pass changed it; None where none did."""
    owner, _, leaf = name.rpartition(".")
    kept: Tensor | None = getattr(module.get_submodule(owner), leaf + KEPT, None)
    return kept


def floats_beside(module: nn.Module) -> Iterator[tuple[nn.Module, str, Tensor]]:
    """Every float that was kept: the layer, what it is called there, and its values."""
    for holder in module.modules():
        for name, value in holder.named_buffers(recurse=False):
            if name.endswith(KEPT):
                yield holder, name.removesuffix(KEPT), value


def keep(module: nn.Module, name: str | None) -> None:
    """Puts a copy of the float beside a weight or bias, once."""
    if name is None:
        return
    owner, _, leaf = name.rpartition(".")
    holder = module.get_submodule(owner)
    if not hasattr(holder, leaf + KEPT):
        value: Tensor = getattr(holder, leaf)
        holder.register_buffer(leaf + KEPT, value.detach().clone())


def last_uses(graph: fx.Graph, constants: Collection[Node] = ()) -> dict[Node, list[Node]]:
    """Whose values nobody reads after a node."""
    last: dict[Node, Node] = {}
    for node in graph.nodes:
        last[node] = node
        for source in node.all_input_nodes:
            last[source] = node
    gone: dict[Node, list[Node]] = {}
    for node, user in last.items():
        if node not in constants:
            gone.setdefault(user, []).append(node)
    return gone
