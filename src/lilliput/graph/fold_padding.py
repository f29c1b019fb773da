"""Zeros put around a tensor, as the padding of the convolution that reads it."""

from collections.abc import Sequence
from typing import Any

from torch import fx, nn
from torch.fx import Node

from lilliput.graph.graph import operator_of

__all__ = ["fold_padding"]

_SPATIAL = {"conv1d": 1, "conv2d": 2}
_PADDING = 4
"""Place of `padding` among the arguments of `aten.conv1d` and `aten.conv2d`."""


def fold_padding(module: fx.GraphModule) -> int:
    """Lets convolutions pad themselves where zeros are put before them, the same on both sides.

    The network computes the same with an operator less. Zeros that others read too, or more of them
    on one side than on the other, stay.

    Args:
        module: A captured network; changed in place.

    Returns:
        How many paddings are gone.
    """
    folded = 0
    for node in list(module.graph.nodes):
        before = node.args[0] if node.args else None
        if not isinstance(before, Node) or len(before.users) != 1:
            continue
        pads = _same_on_both_sides(before)
        if pads and _take(module, node, pads):
            node.replace_input_with(before, before.all_input_nodes[0])
            module.graph.erase_node(before)
            folded += 1
    module.recompile()
    return folded


def _same_on_both_sides(node: Node) -> list[int]:
    """Zeros on either side of each of the last axes, in order; [] where there are none."""
    kind, given = operator_of(node), dict(enumerate(node.args))
    ends: Any = given.get(1)
    is_constant = kind == "constant_pad_nd" or (
        kind == "pad" and given.get(2, node.kwargs.get("mode", "constant")) == "constant"
    )
    value = given.get(2 if kind == "constant_pad_nd" else 3, node.kwargs.get("value"))
    if not is_constant or value or not isinstance(ends, list | tuple):
        return []
    pairs = list(zip(ends[::2], ends[1::2], strict=True))
    is_even = all(isinstance(low, int) and low == high >= 0 for low, high in pairs)
    return [low for low, _ in reversed(pairs)] if is_even else []


def _take(module: fx.GraphModule, node: Node, pads: Sequence[int]) -> bool:
    """Adds to a convolution's padding; says whether that was possible."""
    layer = module.get_submodule(str(node.target)) if node.op == "call_module" else None
    if isinstance(layer, nn.Conv1d | nn.Conv2d):
        calls = module.graph.find_nodes(op="call_module", target=node.target)
        padding = layer.padding
        if len(calls) != 1 or layer.padding_mode != "zeros" or isinstance(padding, str):
            return False
        if len(pads) <= len(padding):
            layer.padding = _sum(padding, pads, len(padding))
        return len(pads) <= len(padding)
    axes = _SPATIAL.get(operator_of(node), 0)
    arguments: list[Any] = [*node.args, *(None,) * (_PADDING + 1 - len(node.args))]
    own = arguments[_PADDING] if arguments[_PADDING] is not None else [0]
    if len(pads) > axes or not isinstance(own, list | tuple) or node.kwargs:
        return False
    arguments[3] = arguments[3] if arguments[3] is not None else [1]
    arguments[_PADDING] = list(_sum(own, pads, axes))
    node.args = tuple(arguments)
    return True


def _sum(own: Sequence[int], pads: Sequence[int], axes: int) -> tuple[int, ...]:
    """A convolution's own padding and what comes to it on its last axes."""
    wide = list(own) * axes if len(own) == 1 else list(own)
    return tuple(a + b for a, b in zip(wide, [0] * (axes - len(pads)) + list(pads), strict=True))
