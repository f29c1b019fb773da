"""Embedding tables as integers: each row a token's, with a scale of its own."""

from collections.abc import Mapping

import torch
from torch import fx, nn
from torch.fx import Node

from lilliput.core import QuantizationRules
from lilliput.quantize.placing.open_layers import operator_kind

__all__ = ["embeddings"]


def embeddings(module: fx.GraphModule, rules: QuantizationRules) -> Mapping[str, list[Node]]:
    """The lookups whose table can be quantized, opened so that the table shows, by layer.

    Args:
        module: A captured network, changed in place.
        rules: Nothing is given where they do not quantize embeddings.
    """
    found: dict[str, list[Node]] = {}
    if "embedding" not in rules.quantized_operators:
        return found
    for node in list(module.graph.nodes):
        if operator_kind(module, node) != "embedding":
            continue
        opened = _opened(module, node)
        table = opened.args[0] if opened is not None else None
        if opened is not None and isinstance(table, Node) and table.op == "get_attr":
            found.setdefault(str(table.target).removesuffix(".weight"), []).append(opened)
    return found


def _opened(module: fx.GraphModule, node: Node) -> Node | None:
    """The operator in a layer's place; None for a table that lookups themselves change."""
    if node.op != "call_module":
        return node
    layer = module.get_submodule(str(node.target))
    assert isinstance(layer, nn.Embedding)  # noqa: S101
    if layer.max_norm is not None:
        return None
    with module.graph.inserting_before(node):
        table = module.graph.get_attr(f"{node.target}.weight")
        opened = module.graph.call_function(torch.ops.aten.embedding.default, (table, node.args[0]))
    opened.meta = dict(node.meta)
    node.replace_all_uses_with(opened)
    module.graph.erase_node(node)
    return opened
