"""Operators that write into what they read, replaced by those that give something new.

What keeps a tensor, or runs a part of a network twice, would find it changed.
"""

from typing import Any

import torch
from torch import fx
from torch.fx import Node

__all__ = ["functionalize"]


def functionalize(graph: fx.Graph) -> None:
    """Replaces `relu_`, `add_` and the like by `relu` and `add`, where nothing else sees the write.

    `torch.export` names the result of such an operator wherever the tensor is read afterwards, so
    the graph is right without the write. A write through a view, which the viewed tensor shows too,
    stays.
    """
    places = {node: place for place, node in enumerate(graph.nodes)}
    for node in graph.nodes:
        plain = _plain(node)
        source = node.args[0] if node.args else None
        if plain is None or not isinstance(source, Node):
            continue
        is_read_later = any(places[user] > places[node] for user in source.users)
        if node.users and not is_read_later and not _shares_memory(source):
            node.target = plain


def _plain(node: Node) -> Any:
    """The operator that does not write, of the same arguments; None where there is none."""
    target = node.target
    if node.op != "call_function" or not isinstance(target, torch._ops.OpOverload):  # noqa: SLF001
        return None
    name = target._schema.name.removeprefix("aten::")  # noqa: SLF001
    if not target._schema.is_mutable or not name.endswith("_"):  # noqa: SLF001
        return None
    packet = getattr(torch.ops.aten, name.removesuffix("_"), None)
    return getattr(packet, target._overloadname, None)  # noqa: SLF001


def _shares_memory(node: Node) -> bool:
    """Whether a node gives a view of what it reads."""
    target = node.target
    if not isinstance(target, torch._ops.OpOverload):  # noqa: SLF001
        return node.op == "call_function"
    return any(result.alias_info is not None for result in target._schema.returns)  # noqa: SLF001
