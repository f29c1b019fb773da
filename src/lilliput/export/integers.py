"""What the quantizers of a network say about where its file runs in integers.

The quantizers alone do not say it: between two of them an operator may be one that the runtime has
in integers, or one that reads floats and whose result is made an integer again.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from lilliput.core import QuantizationRules
from lilliput.quantize.numbers.fake import FakeQuantize
from lilliput.quantize.placing.open_layers import WITH_WEIGHT, operator_kind
from lilliput.quantize.placing.plan import BINARY, keeps_values

__all__ = ["Integers"]

# stand between a quantizer and its readers: a list has quantizers at its items
_TRANSPARENT = frozenset({"dropout", "split", "split_with_sizes", "chunk"})


@dataclass(frozen=True, eq=False)
class Integers:
    """Where integers are, by the rules that the quantizers were placed by.

    Args:
        module: A captured network with quantizers.
        rules: Of the runtime.
    """

    module: fx.GraphModule
    rules: QuantizationRules

    def is_quantizer(self, node: fx.Node) -> bool:
        """Whether it calls a quantizer that acts."""
        part = self.module.get_submodule(str(node.target)) if node.op == "call_module" else None
        return isinstance(part, FakeQuantize) and part.is_enabled

    def quantizers(self) -> Iterable[tuple[fx.Node, FakeQuantize]]:
        """The calls of quantizers that act, but tables': files hold their codes without scales."""
        for node in self.module.graph.nodes:
            is_table = any(user.target == torch.ops.aten.embedding.default for user in node.users)
            if self.is_quantizer(node) and not is_table:
                part = self.module.get_submodule(str(node.target))
                assert isinstance(part, FakeQuantize)  # noqa: S101
                yield node, part

    def makers(self) -> dict[fx.Node, str]:
        """The kinds of operators that compute in integers, by the nodes their results come from."""
        return {
            self.result(node): kind
            for node in self.module.graph.nodes
            if (kind := operator_kind(self.module, node)) in self.rules.quantized_operators
            and self.runs(node)
        }

    def gives(self, node: fx.Node) -> bool:
        """Whether its tensor has come through a quantizer."""
        if operator_kind(self.module, node) in _TRANSPARENT:
            return all(self.gives(source) for source in node.all_input_nodes[:1])
        return self.is_quantizer(node)

    def runs(self, node: fx.Node) -> bool:
        """Whether the operator reads and gives integers, and the runtime has it in them."""
        kind = operator_kind(self.module, node)
        if kind in self.rules.quantized_operators - {"embedding"}:
            can = not node.kwargs.get("alpha")
        else:
            can = kind in self.rules.shared_scale_operators and keeps_values(node, kind)
        return (
            can
            and all(isinstance(x, fx.Node) and self.gives(x) for x in _operands(node, kind))
            and all(self.gives(user) for user in self.readers(self.result(node)))
        )

    def readers(self, node: fx.Node) -> list[fx.Node]:
        """Who reads the numbers in its tensor, not only the shape."""
        return [user for user in node.users if operator_kind(self.module, user) != "sym_size"]

    def result(self, node: fx.Node) -> fx.Node:
        """Where the operator's result is: behind the activation that it absorbs, if any."""
        users = self.readers(node)
        kind = operator_kind(self.module, users[0]) if len(users) == 1 else ""
        return users[0] if kind in self.rules.fused_activations else node


def _operands(node: fx.Node, kind: str) -> Sequence[Any]:
    """What of an operator's arguments are activations, and the weight."""
    if kind == "cat":
        tensors = node.args[0]
        return tensors if isinstance(tensors, list | tuple) else [tensors]
    return node.args[:2] if kind in WITH_WEIGHT | BINARY else node.args[:1]
