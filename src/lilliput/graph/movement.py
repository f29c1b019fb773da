"""Data movement, run on the ids themselves."""

from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from lilliput.graph.flow import Call, Flow
from lilliput.graph.graph import operator_of
from lilliput.graph.ids import Grid, Ids, Weight, expand, fixed, varying

__all__ = ["MOVES", "move", "moved"]

MOVES = frozenset(
    {
        *("view", "reshape", "_unsafe_view", "view_as", "reshape_as", "flatten", "unflatten"),
        *("permute", "transpose", "t", "numpy_T", "movedim", "moveaxis", "swapaxes", "swapdims"),
        *("slice", "select", "narrow", "index_select", "index", "flip", "roll", "rot90", "unfold"),
        *("cat", "concat", "concatenate", "stack", "hstack", "vstack", "pad", "constant_pad_nd"),
        *("split", "split_with_sizes", "chunk", "tensor_split", "unsafe_split", "unsafe_chunk"),
        *("unbind", "expand", "broadcast_to", "repeat", "repeat_interleave", "tile"),
        *("squeeze", "unsqueeze", "pixel_shuffle", "pixel_unshuffle", "channel_shuffle"),
    }
)


def moved(flow: Flow, call: Call) -> Any:
    """Gives the ids of what a data movement makes."""
    name = operator_of(call.node)
    first = call.arguments.get("self")
    if isinstance(first, Weight) and name in {"t", "numpy_T", "transpose", "permute"}:
        axes = torch.empty(tuple(range(len(first.shape))), device="meta")
        return first.permute(tuple(move(call.node, {**call.arguments, "self": axes}).shape))
    if name in {"index_select", "index"}:
        return _index(flow, call)
    if name in {"pad", "constant_pad_nd"}:
        return _pad(flow, call)
    if name == "expand" and not isinstance(first, Weight):
        copies = _copies(flow, call)
        if copies is not None:
            return copies
    result = move(call.node, {key: _as_ids(flow, value) for key, value in call.arguments.items()})
    if name == "channel_shuffle":
        flow.later.append(Grid(flow.along(flow.ids(first), 1).reshape(call["groups"], -1)))
    pieces = [result] if isinstance(result, Tensor) else list(result)
    pieces = [expand(ids, tuple(ids.shape)) for ids in pieces]
    for ids in pieces:
        flow.grid(ids)
    return pieces[0] if isinstance(result, Tensor) else pieces


def move(node: Node, arguments: dict[str, Any]) -> Any:
    """Runs a data movement on ids, given its arguments by name."""
    name = operator_of(node)
    if name in {"view", "_unsafe_view"}:
        return arguments["self"].reshape(arguments["size"])
    if name in {"view_as", "reshape_as"}:
        return arguments["self"].reshape(arguments["other"].shape)
    return node.target(**arguments)  # type: ignore[operator]


def _as_ids(flow: Flow, value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_as_ids(flow, item) for item in value]
    return flow.ids(value) if isinstance(value, Weight) else value


def _copies(flow: Flow, call: Call) -> Ids | None:
    """Copies of what holds no channels, such as a mask for every head: each may go by itself."""
    ids = flow.ids(call["self"])
    sizes = call.node.args[1]
    ahead = len(call.shape) - ids.dim()
    if varying(ids) or not isinstance(sizes, list | tuple):
        return None
    for axis in range(1, len(call.shape)):  # axis 0 is the batch
        before = ids.shape[axis - ahead] if axis >= ahead else 1
        if before == 1 < call.shape[axis] and isinstance(sizes[axis], int):
            line = flow.new(call.shape[axis])
            return line.view([-1 if d == axis else 1 for d in range(len(call.shape))]).expand(
                call.shape
            )
    return None


def _pad(flow: Flow, call: Call) -> Any:
    """Padded positions along a channel axis are new channels, which nothing made."""
    ids, amounts = flow.ids(call["self"]), list(call["pad"])
    lines = varying(ids)
    for i in range(0, len(amounts), 2):
        axis = ids.dim() - 1 - i // 2
        front, back = amounts[i : i + 2]
        if axis not in lines:
            sizes = list(ids.shape)
            sizes[axis] += front + back
            ids = ids.narrow(axis, 0, 1).expand(sizes)
        elif call.get("mode", "constant") != "constant":
            flow.stop(call.node, "it repeats channels by position", ids)
            return fixed(call.shape)
        else:
            ids = _pad_axis(flow, ids, axis, front, back)
    flow.grid(ids)
    return ids


def _pad_axis(flow: Flow, ids: Ids, axis: int, front: int, back: int) -> Ids:
    first, last = max(0, -front), ids.shape[axis] - max(0, -back)
    pieces = [ids.narrow(axis, first, last - first)]
    sizes = list(ids.shape)
    for amount, place in ((front, 0), (back, len(pieces))):
        if amount > 0:
            line = flow.new(amount).view([-1 if d == axis else 1 for d in range(ids.dim())])
            sizes[axis] = amount
            pieces.insert(place if place == 0 else len(pieces), line.expand(sizes))
    return torch.cat(pieces, axis)


def _index(flow: Flow, call: Call) -> Any:
    """Positions known when the network is traced are picked; others must not touch channels."""
    if not call.node.meta["val"].is_floating_point():
        return fixed(call.shape)  # a table of positions, which holds no channels
    ids = flow.ids(call["self"])
    is_one = "indices" not in call.arguments
    picks = [call["index"]] if is_one else call["indices"]
    first = call["dim"] % ids.dim() if is_one else 0
    known: list[Tensor | None] = []
    for axis, pick in enumerate(picks, first):
        values = _constant(flow, pick)
        if pick is not None and (values is None or values.dtype == torch.bool):
            if axis in varying(ids):
                flow.stop(call.node, "it picks channels by computed positions", ids)
                return fixed(call.shape)
            if values is not None or isinstance(pick, Weight):
                flow.stop(call.node, "it picks positions by a mask", ids)
                return fixed(call.shape)
            values = torch.zeros(pick.shape, dtype=torch.long)
        known.append(values)
    if is_one and known[0] is not None:
        return ids.index_select(first, known[0])
    return torch.ops.aten.index(ids, known)


def _constant(flow: Flow, value: Any) -> Tensor | None:
    """The numbers of an index that is part of the network."""
    if not isinstance(value, Weight) or len(value.parts) != 1:
        return None
    name = value.parts[0][0]
    program = flow.graph.program
    tensor = program.state_dict.get(name, program.constants.get(name))
    return tensor.detach().cpu() if isinstance(tensor, Tensor) else None
