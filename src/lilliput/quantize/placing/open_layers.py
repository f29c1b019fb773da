"""What operator a node of a captured graph runs, and layers opened up so that weights show."""

from collections.abc import Callable
from typing import Any

import torch
from torch import fx, nn
from torch.fx import Node

from lilliput.graph import operator_of

__all__ = ["WITH_WEIGHT", "open_layer", "operator_kind"]

WITH_WEIGHT = frozenset({"conv1d", "conv2d", "conv_transpose2d", "linear"})
_KIND: dict[type[nn.Module], str] = {
    nn.Conv1d: "conv1d",
    nn.Conv2d: "conv2d",
    nn.ConvTranspose2d: "conv_transpose2d",
    nn.Linear: "linear",
    nn.Embedding: "embedding",
    nn.Dropout: "dropout",
    nn.Dropout1d: "dropout",
    nn.Dropout2d: "dropout",
}


def operator_kind(module: fx.GraphModule, node: Node) -> str:
    """The operator's ATen packet name, of a layer as of a call; "" for others."""
    if node.op == "call_module":
        return _KIND.get(type(module.get_submodule(str(node.target))), "")
    name = operator_of(node)
    return name.removesuffix("_") if name.endswith("_") and not name.startswith("_") else name


def open_layer(module: fx.GraphModule, node: Node, kind: str) -> Node | None:
    """Replaces a layer's call by its operator, with weight and bias as inputs.

    Returns:
        The operator's node; a call that was open already as it is; None for a layer whose padding
        is not zeros, which no operator does alone.
    """
    if node.op != "call_module":
        return node
    name = str(node.target)
    layer = module.get_submodule(name)
    if getattr(layer, "padding_mode", "zeros") != "zeros":
        return None
    graph = module.graph
    with graph.inserting_before(node):
        weight = graph.get_attr(f"{name}.weight")
        bias = graph.get_attr(f"{name}.bias") if layer.bias is not None else None
        target, rest = _operator(layer, kind)
        arguments = (node.args[0], weight, bias, *rest)
        opened = graph.create_node("call_function", target, arguments, name=f"{node.name}_out")
    opened.meta = dict(node.meta)
    node.replace_all_uses_with(opened)
    graph.erase_node(node)
    return opened


def _operator(layer: nn.Module, kind: str) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    aten = torch.ops.aten
    if kind == "linear":
        return aten.linear.default, ()
    groups, dilation = layer.groups, list(layer.dilation)  # type: ignore[arg-type]
    stride = list(layer.stride)  # type: ignore[arg-type]
    if kind == "conv_transpose2d":
        padding = [list(layer.padding), list(layer.output_padding)]  # type: ignore[arg-type]
        return aten.conv_transpose2d.input, (stride, *padding, groups, dilation)
    packet = aten.conv1d if kind == "conv1d" else aten.conv2d
    if isinstance(layer.padding, str):
        return packet.padding, (stride, layer.padding, dilation, groups)
    return packet.default, (stride, list(layer.padding), dilation, groups)  # type: ignore[arg-type]
