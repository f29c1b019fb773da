"""Quantize/dequantize pairs as XNNPACK's partitioner looks for them.

It takes an operator in integers where each input comes from a dequantize and the result goes to a
quantize, through an activation only where XNNPACK fuses that.

Source: ExecuTorch 1.5.1, backends/xnnpack/partition/config.
"""

from typing import Any

import torch
from torch import fx

from lilliput.graph import operator_of
from lilliput.quantize.placing.open_layers import operator_kind

__all__ = ["arrange_pairs", "is_dequantize", "is_quantize"]

_ACTIVATIONS = frozenset({"relu", "relu_", "relu6", "hardtanh", "hardtanh_"})
_FUSES = {
    "add": frozenset({"relu", "relu_"}),
    **dict.fromkeys(("conv1d", "conv2d", "conv_transpose2d", "linear"), _ACTIVATIONS),
}
_ATEN = torch.ops.aten


def arrange_pairs(module: fx.GraphModule) -> None:
    """Moves pairs to where the partitioner finds them; what is computed stays the same.

    Args:
        module: A network with quantize/dequantize pairs, in eval mode; changed in place.
    """
    for node in list(module.graph.nodes):
        if operator_kind(module, node) == "dropout":  # gives what it reads, but parts the pattern
            node.replace_all_uses_with(node.all_input_nodes[0])
            module.graph.erase_node(node)
        elif _averages_images(node):
            _keep_axes(module.graph, node)
        elif node.op == "call_function" and operator_of(node) in _ACTIVATIONS:
            _round_before(module.graph, node)
        elif node.op == "call_function" and operator_of(node) in {"pad", "constant_pad_nd"}:
            _pad_codes(node)
    module.graph.eliminate_dead_code()
    for node in list(module.graph.nodes):
        if is_dequantize(node):
            _give_each_its_own(module.graph, node)
    module.graph.lint()
    module.recompile()


def _averages_images(node: fx.Node) -> bool:
    """Whether it is a mean over the height and width of images, which drops these axes."""
    if node.op != "call_function" or node.target != _ATEN.mean.dim:
        return False
    axes, rank = node.args[1], node.args[0].meta["val"].dim()  # type: ignore[union-attr]
    is_kept = len(node.args) > 2 and bool(node.args[2])
    return (
        isinstance(axes, list | tuple)
        and rank == 4
        and not is_kept
        and {int(axis) % rank for axis in axes} == {2, 3}  # type: ignore[arg-type]
    )


def _keep_axes(graph: fx.Graph, node: fx.Node) -> None:
    """Keeps the axes of a mean with size 1 and drops them after it: XNNPACK has no other."""
    node.args = (node.args[0], [2, 3], True)
    last = _repeat_pair(graph, node)
    with graph.inserting_after(last):
        flat = graph.call_function(_ATEN.flatten.using_ints, (last, 1))
    flat.meta = dict(node.meta)
    _hand_over(node, flat)


def _pad_codes(node: fx.Node) -> None:
    """Takes the pair between zeros and the one convolution that reads them away.

    XNNPACK then pads codes; with the pair it would pad floats. The codes are the same.
    """
    source, sizes, *rest = node.args
    reader = _next(_next(_next(node)))
    if reader is None or operator_of(reader) not in {"conv1d", "conv2d"}:
        return
    axes = 1 if operator_of(reader) == "conv1d" else 2
    is_zero = not any(rest[1:] if operator_of(node) == "pad" else rest)
    is_zero &= operator_of(node) != "pad" or rest[:1] in ([], ["constant"])
    is_spatial = isinstance(sizes, list | tuple) and not any(sizes[2 * axes :])
    quantize = _next(node)
    assert quantize is not None  # noqa: S101
    is_moved = isinstance(source, fx.Node) and is_dequantize(source)
    if is_moved and is_zero and is_spatial and is_quantize(quantize):
        dequantize = next(iter(quantize.users))
        if quantize.args[1:] == source.args[1:]:  # type: ignore[union-attr]
            dequantize.replace_all_uses_with(node)


def _next(node: fx.Node | None) -> fx.Node | None:
    """The one reader of a node; None where there are several or none."""
    return next(iter(node.users)) if node is not None and len(node.users) == 1 else None


def _round_before(graph: fx.Graph, node: fx.Node) -> None:
    """Gives an operator that fuses no such activation a pair of its own before it."""
    source = node.args[0]
    if not isinstance(source, fx.Node) or is_dequantize(source):
        return
    fused = _FUSES.get(operator_of(source), frozenset())
    reads_integers = any(is_dequantize(operand) for operand in source.all_input_nodes)
    if reads_integers and operator_of(node) not in fused and len(source.users) == 1:
        quantizes = [user for user in node.users if is_quantize(user)]
        if len(node.users) == len(quantizes) == 1:
            _hand_over(source, _pair(graph, source, quantizes[0]))


def _repeat_pair(graph: fx.Graph, node: fx.Node) -> fx.Node:
    """Quantizes a result right behind it, as its only reader does; gives where it is real again."""
    users = list(node.users)
    if len(users) != 1 or not is_quantize(users[0]):
        return node
    return _pair(graph, node, users[0])


def _pair(graph: fx.Graph, node: fx.Node, like: fx.Node) -> fx.Node:
    dequantize: Any = next(iter(like.users)).target
    target: Any = like.target
    with graph.inserting_after(node):
        codes = graph.call_function(target, (node, *like.args[1:]))
    with graph.inserting_after(codes):
        return graph.call_function(dequantize, (codes, *like.args[1:]))


def _hand_over(node: fx.Node, to: fx.Node) -> None:
    """Lets all who read a node read another, except those between the two."""
    between, source = set(), to
    while source is not node:
        between.add(source)
        source = source.all_input_nodes[0]
    for user in list(node.users):
        if user not in between:
            user.replace_input_with(node, to)


def _give_each_its_own(graph: fx.Graph, node: fx.Node) -> None:
    """One dequantize for each reader: shared ones tie partitions into cycles."""
    for user in list(node.users)[1:]:
        with graph.inserting_before(user):
            copy = graph.node_copy(node)
        user.replace_input_with(node, copy)


def is_quantize(node: fx.Node) -> bool:
    """Whether it makes codes of one scale."""
    return node.op == "call_function" and str(node.target).startswith(
        "quantized_decomposed.quantize_per_tensor"
    )


def is_dequantize(node: fx.Node) -> bool:
    """Whether it makes reals of codes of one scale."""
    return node.op == "call_function" and str(node.target).startswith(
        "quantized_decomposed.dequantize_per_tensor"
    )
