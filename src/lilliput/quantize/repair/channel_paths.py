"""Who reads a tensor's channels, through operators that let a positive factor of each pass."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import fx
from torch.fx import Node

from lilliput.graph import shape_of
from lilliput.quantize.placing.open_layers import operator_kind
from lilliput.quantize.repair.scalable import ScalableLayer

__all__ = ["ChannelPath", "clip_limits", "paths_from", "start_of"]

_CLIPS = frozenset({"hardtanh", "relu6", "clamp"})


@dataclass(frozen=True, eq=False)
class ChannelPath:
    """The way of a tensor's channels to a layer that reads them.

    Args:
        source: The tensor that is reached so far.
        axis: Where the channels lie in it.
        repeat: Neighbours along the axis that belong to one channel.
        clips: Operators on the way that let a factor pass only while they do not act.
        keeps_shifts: Whether a number that is added to a positive channel comes out as it was.
        reader: The layer at the end.
    """

    source: Node
    axis: int
    repeat: int = 1
    clips: tuple[Node, ...] = ()
    keeps_shifts: bool = True
    reader: ScalableLayer | None = None


def start_of(layer: ScalableLayer) -> ChannelPath:
    """Where a layer's outputs have their channels."""
    last = len(shape_of(layer.node)) - 1
    return ChannelPath(
        layer.node, last if layer.kind == "linear" else last - layer.weight.dim() + 2
    )


def paths_from(
    module: fx.GraphModule, layers: Mapping[Node, ScalableLayer], start: ChannelPath
) -> list[ChannelPath] | None:
    """Gives one path for each layer that reads the channels; None where something else does.

    Args:
        module: A captured network.
        layers: Of the network, those that can be scaled.
        start: Where the channels are made.
    """
    found = []
    for user in start.source.users:
        if user in layers:
            if not _reads(layers[user], start):
                return None
            found.append(replace(start, reader=layers[user]))
            continue
        passed = _passed(module, user, start)
        further = None if passed is None else paths_from(module, layers, passed)
        if further is None:
            return None
        found.extend(further)
    return found


def clip_limits(module: fx.GraphModule, node: Node) -> tuple[float, float] | None:
    """Below and above what a node clips; None where it is no clip, or its limits are tensors."""
    kind = operator_kind(module, node)
    if kind == "relu6":
        return 0.0, 6.0
    if kind not in _CLIPS:
        return None
    usual = (-1.0, 1.0) if kind == "hardtanh" else (-math.inf, math.inf)
    given: list[Any] = [*node.args[1:3], None, None]
    low, high = (end if own is None else own for own, end in zip(given, usual, strict=False))
    is_known = isinstance(low, int | float) and isinstance(high, int | float)
    return (float(low), float(high)) if is_known else None


def _reads(layer: ScalableLayer, path: ChannelPath) -> bool:
    """Whether the channels lie where the layer has its input channels."""
    rank = len(shape_of(path.source))
    is_input = layer.node.args[0] is path.source
    if layer.kind == "linear":
        return is_input and path.axis == rank - 1
    return is_input and path.axis == 1 and path.repeat == 1 and rank == layer.weight.dim()


def _passed(module: fx.GraphModule, node: Node, path: ChannelPath) -> ChannelPath | None:
    """The path one operator further, if it is one that factors pass."""
    activations = [n for n in node.all_input_nodes if n.op != "get_attr"]
    if activations != [path.source] or node.args[0] is not path.source:
        return None
    kind = operator_kind(module, node)
    if kind in _CLIPS:
        is_known = clip_limits(module, node) is not None
        return replace(path, source=node, clips=(*path.clips, node)) if is_known else None
    rule = _RULES.get(kind)
    return None if rule is None else rule(kind, node, path)


def _elementwise(_: str, node: Node, path: ChannelPath) -> ChannelPath:
    return replace(path, source=node)


def _spatial(kind: str, node: Node, path: ChannelPath) -> ChannelPath | None:
    if (path.repeat, path.axis, len(shape_of(node))) != (1, 1, 2 + int(kind[-2])):
        return None
    keeps_shifts = path.keeps_shifts and not _counts_zeros(kind, node)
    return replace(path, source=node, keeps_shifts=keeps_shifts)


def _counts_zeros(kind: str, node: Node) -> bool:
    """Whether an average counts zeros that padding adds, or is divided by something else."""
    padding: Any = node.args[3] if kind.startswith("avg_pool") and len(node.args) > 3 else 0
    is_padded = any(padding) if isinstance(padding, list | tuple) else bool(padding)
    return is_padded or (kind.startswith("avg_pool") and len(node.args) > 6)


def _padded(_: str, node: Node, path: ChannelPath) -> ChannelPath | None:
    """Only axes behind the channels are padded, and with zeros."""
    sizes: Any = node.args[1]
    last, rest = node.args[2:], dict(node.kwargs)
    mode = rest.get("mode", last[0] if last and isinstance(last[0], str) else "constant")
    fill = rest.get("value", last[-1] if last and not isinstance(last[-1], str) else None)
    is_behind = len(shape_of(node)) - len(sizes) // 2 > path.axis
    if not is_behind or mode != "constant" or fill:
        return None
    return replace(path, source=node, keeps_shifts=False)


def _averaged(_: str, node: Node, path: ChannelPath) -> ChannelPath | None:
    rank = len(shape_of(path.source))
    axes: Any = node.args[1] if len(node.args) > 1 else None
    if not isinstance(axes, list | tuple) or not axes:
        return None
    gone = {axis % rank for axis in axes}
    if path.axis in gone or len(shape_of(node)) not in {rank, rank - len(gone)}:
        return None
    is_kept = len(shape_of(node)) == rank
    before = 0 if is_kept else sum(axis < path.axis for axis in gone)
    return replace(path, source=node, axis=path.axis - before)


def _permuted(kind: str, node: Node, path: ChannelPath) -> ChannelPath:
    rank = len(shape_of(path.source))
    order = list(range(rank))
    axes: Any = node.args[1] if kind == "permute" else node.args[1:3]
    if kind == "permute":
        order = [axis % rank for axis in axes]
    else:
        first, second = (axis % rank for axis in axes)
        order[first], order[second] = second, first
    return replace(path, source=node, axis=order.index(path.axis))


def _reshaped(_: str, node: Node, path: ChannelPath) -> ChannelPath | None:
    """Other axes behind the channels, or channels that swallow them."""
    before, after = shape_of(path.source), shape_of(node)
    axis = path.axis
    if len(after) <= axis or before[:axis] != after[:axis]:
        return None
    if before[axis] == after[axis]:
        return replace(path, source=node)
    swallowed = math.prod(before[axis + 1 :])
    if len(after) == axis + 1 and after[axis] == before[axis] * swallowed:
        return replace(path, source=node, repeat=path.repeat * swallowed)
    return None


_Rule = Callable[[str, Node, ChannelPath], ChannelPath | None]
_RULES: dict[str, _Rule] = {
    "mean": _averaged,
    **dict.fromkeys(("relu", "leaky_relu", "prelu", "dropout", "feature_dropout"), _elementwise),
    **dict.fromkeys(("clone", "contiguous", "alias", "detach"), _elementwise),
    **dict.fromkeys(("max_pool1d", "avg_pool1d", "adaptive_avg_pool1d"), _spatial),
    **dict.fromkeys(("max_pool2d", "avg_pool2d", "adaptive_avg_pool2d"), _spatial),
    **dict.fromkeys(("upsample_nearest2d", "upsample_bilinear2d"), _spatial),
    **dict.fromkeys(("pad", "constant_pad_nd"), _padded),
    **dict.fromkeys(("transpose", "permute"), _permuted),
    **dict.fromkeys(("view", "reshape", "_unsafe_view", "flatten", "unflatten"), _reshaped),
}
"""How each operator moves the channels; those of `_CLIPS` leave them where they are."""
