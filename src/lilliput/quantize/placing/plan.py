"""Which tensors are integers on the device, and which of them share a scale."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx
from torch.fx import Node

from lilliput.core import QuantizationRules
from lilliput.quantize.numbers.fake import FakeQuantize
from lilliput.quantize.placing.open_layers import WITH_WEIGHT, operator_kind

__all__ = ["BINARY", "Plan", "keeps_values"]

BINARY = frozenset({"add", "sub", "mul", "div"})
# what runtimes clip to at no cost; any other limits are an operator of their own
_FUSED_LIMITS = {(0.0, 6.0), (-1.0, 1.0)}


@dataclass(eq=False)
class Plan:
    """Found by `walk`; changes nothing in the network.

    A tensor that an operator in integers makes is an integer for all who read it; a tensor that
    comes from elsewhere is made an integer only for the operators in integers that read it.

    Args:
        module: A captured network whose weights pass quantizers already.
        rules: Of the runtime.
        integer: For each node whose tensor is an integer, the node it has its scale from.
        readers: For each node whose tensor is float, the operators in integers that read it.
        made_by: For each node whose tensor an operator computes in integers, that operator.
    """

    module: fx.GraphModule
    rules: QuantizationRules
    integer: dict[Node, Node] = field(default_factory=dict)
    readers: dict[Node, list[Node]] = field(default_factory=dict)
    made_by: dict[Node, Node] = field(default_factory=dict)
    _same: dict[Node, Node] = field(default_factory=dict)

    def walk(self) -> None:
        """Decides for every node, in the order they run."""
        for node in self.module.graph.nodes:
            if self.has_quantized_weight(node):
                self._read([n for n in node.all_input_nodes[:1] if n not in self.integer], node)
                self._compute(node)
            elif node not in self.integer and is_float(node):
                self._visit(node)
        if not self.rules.quantizes_outputs:
            while self._free_one():
                pass

    def root(self, node: Node) -> Node:
        """The node that names the quantizer of an integer tensor."""
        node = self.integer.get(node, node)
        while node in self._same:
            node = self._same[node]
        return node

    def has_quantized_weight(self, node: Node) -> bool:
        """Whether it is a convolution or linear operator whose weight passes a quantizer."""
        weight = node.args[1] if len(node.args) > 1 else None
        return isinstance(weight, Node) and self._is_quantizer(weight)

    def _is_quantizer(self, node: Node) -> bool:
        if node.op != "call_module":
            return False
        return isinstance(self.module.get_submodule(str(node.target)), FakeQuantize)

    def _visit(self, node: Node) -> None:
        kind = operator_kind(self.module, node)
        sources = [source for source in node.all_input_nodes if is_float(source)]
        floats = [source for source in sources if source not in self.integer]
        # what is joined to integers becomes an integer too
        if len(floats) == len(sources) or (floats and kind != "cat"):
            return
        if kind in self.rules.shared_scale_operators and keeps_values(node, kind):
            self._read(floats, node)
            first, *others = (self.root(source) for source in sources)
            for other in others:
                if self.root(other) is not self.root(first):
                    self._same[self.root(other)] = self.root(first)
            self.integer[node] = first
        elif kind == "cat" and kind in self.rules.quantized_operators:
            self._read(floats, node)
            self._compute(node)
        elif kind in self.rules.quantized_operators - WITH_WEIGHT:
            # a number or a parameter as second operand would stay a float between integers
            operands = node.args[:2] if kind in BINARY else node.args[:1]
            if all(operand in self.integer for operand in operands) and not node.kwargs.get(
                "alpha"
            ):
                self._compute(node)

    def _read(self, floats: list[Node], reader: Node) -> None:
        for source in floats:
            self.readers.setdefault(source, []).append(reader)

    def _compute(self, node: Node) -> None:
        """The operator's result is an integer: after the activation that it absorbs, if any."""
        result = self._absorbed(node)
        is_output = any(user.op == "output" for user in result.users)
        if not is_output or self.rules.quantizes_outputs:
            self.integer[result] = result
            self.made_by[result] = node

    def _absorbed(self, node: Node) -> Node:
        users = list(node.users)
        kind = operator_kind(self.module, users[0]) if len(users) == 1 else ""
        if kind not in self.rules.fused_activations:
            return node
        limits = (*users[0].args[1:3], *(-1.0, 1.0)[len(users[0].args) - 1 :])
        return users[0] if kind in {"relu", "relu6"} or limits in _FUSED_LIMITS else node

    def _free_one(self) -> bool:
        """Leaves a result float that no operator in integers reads, where that costs nothing.

        A linear layer gives floats as readily as integers, and what only adds or joins floats is
        as well float itself. A convolution gives integers or does not run in them.
        """
        groups: dict[Node, list[Node]] = {}
        for node in self.integer:
            groups.setdefault(self.root(node), []).append(node)
        running = {node for node in self.module.graph.nodes if self.has_quantized_weight(node)}
        running |= set(self.made_by.values())
        for members in groups.values():
            makers = {self.made_by[node] for node in members if node in self.made_by}
            kinds = {operator_kind(self.module, node) for node in makers}
            is_read = any(user in running for node in members for user in node.users)
            if not is_read and kinds <= BINARY | {"linear", "cat"}:
                self._free(members)
                return True
        return False

    def _free(self, members: list[Node]) -> None:
        """Makes these tensors floats, and float what had to be an integer only for them."""
        freed = {*members, *(self.made_by.pop(node, node) for node in members)}
        for node in members:
            del self.integer[node]
        for source, readers in list(self.readers.items()):
            left = [
                node for node in readers if node not in freed or self.has_quantized_weight(node)
            ]
            self.readers[source] = left
            if not left:
                del self.readers[source]


def is_float(node: Node) -> bool:
    """Whether the node gives activations: floats, or a list of them, that are no weights."""
    value: Any = node.meta.get("val")
    if node.op == "get_attr" or "is_weight" in node.meta:
        return False
    if isinstance(value, list | tuple):  # split and chunk give several
        return bool(value) and all(
            isinstance(v, torch.Tensor) and v.is_floating_point() for v in value
        )
    return isinstance(value, torch.Tensor) and value.is_floating_point()


def keeps_values(node: Node, kind: str) -> bool:
    """Whether the result needs no other scale: data is moved, or averaged where all of it counts.

    Padding may add nothing but zeros, which every scale has.
    """
    if kind == "constant_pad_nd":
        return not _argument(node, 2, "value", 0)
    if kind == "pad":
        mode = _argument(node, 2, "mode", "constant")
        return mode != "constant" or not _argument(node, 3, "value", None)
    if kind in {"avg_pool1d", "avg_pool2d"}:
        padding = _argument(node, 3, "padding", 0)
        has_padding = any(padding) if isinstance(padding, list | tuple) else bool(padding)
        counts_padding = _argument(node, 5, "count_include_pad", True)
        divisor = _argument(node, 6, "divisor_override", None)
        has_usual_windows = not _argument(node, 4, "ceil_mode", False) and divisor is None
        return has_usual_windows and (counts_padding or not has_padding)
    return True


def _argument(node: Node, place: int, name: str, default: Any) -> Any:
    return node.args[place] if len(node.args) > place else node.kwargs.get(name, default)
