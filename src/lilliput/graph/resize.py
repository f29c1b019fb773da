"""Sizes that the network's code has written down, and what they become when channels go.

No operator is trusted: each data movement is run again on the ids that remain, with its sizes as
they are, and only if that does not give the ids that should remain are its sizes worked out anew
and tried again. What still does not fit is refused, so a wrong size never reaches a network.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node
from torch.utils._pytree import tree_map

from lilliput.core import UnsupportedError
from lilliput.graph.flow import Flow, arguments_of
from lilliput.graph.graph import operator_of, owner_of
from lilliput.graph.ids import Ids, Weight, packed, varying
from lilliput.graph.movement import MOVES, move

__all__ = ["Edit", "Irregular", "Scaled", "plan"]


class Irregular(UnsupportedError):  # noqa: N818
    """The network's data movement cannot be made to fit what remains."""

    def __init__(self, node: Node, reason: str) -> None:
        self.operator, self.where = operator_of(node), owner_of(node)
        self.reason = reason
        place = self.where or "the network itself"
        super().__init__(f"{self.operator} in {place} cannot follow these removals: {reason}")


@dataclass(frozen=True)
class Scaled:
    """A size that follows the batch, times a fraction: half the heads of `batch * heads`."""

    node: Node
    numerator: int
    denominator: int


@dataclass(frozen=True)
class Edit:
    """New arguments of one call, by name.

    Args:
        arguments: What changes.
        target: The operator to call instead, where the old one cannot say it.
    """

    arguments: dict[str, Any]
    target: Callable[..., Any] | None = None

    def applied(self, named: Mapping[str, Any]) -> dict[str, Any]:
        """The call's arguments after the edit; those of another operator are given in full."""
        return self.arguments if self.target else {**named, **self.arguments}


def plan(flow: Flow, gone: Tensor) -> dict[Node, Edit]:
    """Works out which arguments change when ids go.

    Args:
        flow: The ids of the network.
        gone: For each id, whether it goes.

    Raises:
        Irregular: What remains is no rectangle, or an operator cannot be made to give it.
    """
    return _Plan(flow, gone, {}, {}).make()


@dataclass(frozen=True, eq=False)
class _Plan:
    flow: Flow
    gone: Tensor
    sizes: dict[Node, int]
    edits: dict[Node, Edit]

    def make(self) -> dict[Node, Edit]:
        for node in self.flow.graph.nodes:
            name = operator_of(node)
            if isinstance(self.flow.values.get(node), int):
                self._number(node)
            elif name in MOVES and self._touches(node):
                self._move(node)
            elif name in _LAYERS and self._touches(node):
                edit = _LAYERS[name](self, node)
                if edit:
                    self.edits[node] = Edit(edit)
        return self.edits

    # --- what remains ------------------------------------------------------------------------

    def masks(self, ids: Ids, node: Node) -> list[Tensor]:
        """For each axis, which positions remain."""
        short = packed(ids)
        keep = ~self.gone[short]
        masks = []
        grid = torch.ones((), dtype=torch.bool)
        for axis in range(ids.dim()):
            others = [d for d in range(ids.dim()) if d != axis]
            mask = keep.amax(others) if others else keep
            masks.append(mask.expand(ids.shape[axis]))
            grid = grid & mask.view([-1 if d == axis else 1 for d in range(ids.dim())])
        if not torch.equal(grid.expand(keep.shape), keep):
            raise Irregular(node, "what remains is no rectangle")
        if ids.dim() and not keep.any():
            raise Irregular(node, "nothing would remain")
        return masks

    def kept(self, ids: Ids, node: Node) -> Ids:
        """The ids that remain."""
        masks = self.masks(ids, node)
        short = packed(ids)
        for axis, mask in enumerate(masks):
            if short.shape[axis] > 1:
                short = short.index_select(axis, mask.nonzero().flatten())
        return short.expand([int(mask.sum()) for mask in masks])

    def now(self, value: Any, node: Node) -> Any:
        """An argument as it will be: numbers and ids after the removal."""

        def leaf(item: Any) -> Any:
            if not isinstance(item, Node):
                return item
            if item in self.sizes:
                return self.sizes[item]
            old = self.flow.values[item]
            if isinstance(old, Weight):
                known = self.flow.tables.get(old.parts[0][0])
                return _numbers(self.flow, old) if known is None else self.kept(known, node)
            return self.kept(old, node) if isinstance(old, Tensor) else old

        return tree_map(leaf, value)

    def mask_of(self, node: Node, axis: int) -> Tensor:
        """Which positions of a node's value remain along one axis."""
        ids = self.flow.values[node]
        masks = self.masks(ids, node)
        return masks[axis % len(masks)]

    def _touches(self, node: Node) -> bool:
        return bool(self.gone[self.flow.reach(node)].any())

    # --- what changes ------------------------------------------------------------------------

    def _number(self, node: Node) -> None:
        """Sizes that are computed from other sizes follow by themselves."""
        args = self.now(list(node.args), node)
        if operator_of(node) == "sym_size":
            self.sizes[node] = int(args[0].shape[args[1]])
        else:
            self.sizes[node] = int(node.target(*args))  # type: ignore[operator]

    def _move(self, node: Node) -> None:
        old = self.flow.values[node]
        if isinstance(old, Weight):
            return
        is_list = not isinstance(old, Tensor)
        want = [self.kept(ids, node) for ids in (old if is_list else [old])]
        named = arguments_of(node, (node.args, node.kwargs))
        if self._gives(node, named, want):
            return
        resize = _RESIZE.get(operator_of(node))
        edit = resize(self, node, named, want) if resize else None
        if edit is None or not self._gives(node, edit.applied(named), want, edit.target):
            raise Irregular(node, "no sizes give what should remain")
        self.edits[node] = edit

    def _gives(
        self,
        node: Node,
        named: dict[str, Any],
        want: list[Ids],
        target: Callable[..., Any] | None = None,
    ) -> bool:
        if operator_of(node) in {"pad", "constant_pad_nd"}:
            return self._pads(node, named, want[0])
        makes = operator_of(node) == "expand" and not varying(self.now(named["self"], node))
        named = {key: self._value(value, node) for key, value in named.items()}
        try:
            got = target(**named) if target else move(node, named)
        except (RuntimeError, IndexError):  # sizes that do not fit
            return False
        got = [got] if isinstance(got, Tensor) else list(got)
        if makes:  # copies of what holds no channels, which have ids of their own
            return tuple(got[0].shape) == tuple(want[0].shape)
        return len(got) == len(want) and all(map(torch.equal, got, want))

    def _pads(self, node: Node, named: dict[str, Any], want: Ids) -> bool:
        """Padding makes positions of its own, so sizes are compared, and what was there before."""
        have = self.now(named["self"], node)
        amounts = list(named["pad"])
        front = [0] * have.dim()
        sizes = list(have.shape)
        for i in range(0, len(amounts), 2):
            axis = have.dim() - 1 - i // 2
            front[axis] = amounts[i]
            sizes[axis] += amounts[i] + amounts[i + 1]
        if tuple(sizes) != tuple(want.shape):
            return False
        inner = want
        for axis, size in enumerate(have.shape):
            first, last = max(0, front[axis]), min(want.shape[axis], front[axis] + size)
            inner = inner.narrow(axis, first, last - first)
            have = have.narrow(axis, max(0, -front[axis]), last - first)
        return torch.equal(inner, have)

    def _value(self, value: Any, node: Node) -> Any:
        if isinstance(value, Scaled):
            return self.sizes[value.node] * value.numerator // value.denominator
        if isinstance(value, list | tuple):
            return [self._value(item, node) for item in value]
        return self.now(value, node)


def _numbers(flow: Flow, weight: Weight) -> Any:
    program = flow.graph.program
    name = weight.parts[0][0]
    return program.state_dict.get(name, program.constants.get(name))


# --- data movement: one function for each way of writing sizes ------------------------------------


def _sizes(plan_: _Plan, _node: Node, named: Mapping[str, Any], want: list[Ids]) -> Edit:
    key = next(k for k in ("size", "shape", "sizes") if k in named)
    first = named["dim"] % plan_.flow.values[named["self"]].dim() if key == "sizes" else 0
    sizes: list[Any] = []
    for entry, size in zip(named[key], want[0].shape[first:], strict=False):
        if isinstance(entry, Node):
            now = plan_.sizes[entry]
            common = math.gcd(size, now)
            scaled = Scaled(entry, size // common, now // common)
            sizes.append(entry if now == size else scaled)
        else:
            sizes.append(entry if entry == -1 else size)
    return Edit({key: sizes})


def _pad_amounts(plan_: _Plan, node: Node, named: Mapping[str, Any], _: list[Ids]) -> Edit:
    amounts = list(named["pad"])
    before = plan_.flow.values[named["self"]]
    for i in range(0, len(amounts), 2):
        axis = before.dim() - 1 - i // 2
        mask = plan_.mask_of(node, axis)
        front, back = amounts[i : i + 2]
        if front >= 0 and back >= 0:
            inner = before.shape[axis]
            amounts[i] = int(mask[:front].sum())
            amounts[i + 1] = int(mask[front + inner :].sum())
    return Edit({"pad": amounts})


def _slice_bounds(plan_: _Plan, _node: Node, named: Mapping[str, Any], _: list[Ids]) -> Edit | None:
    mask = plan_.mask_of(named["self"], named["dim"])
    first, last, step = slice(named["start"], named["end"], named["step"]).indices(len(mask))
    if step != 1:
        return None
    return Edit({"start": int(mask[:first].sum()), "end": int(mask[:last].sum())})


def _narrow_bounds(plan_: _Plan, _node: Node, named: Mapping[str, Any], _: list[Ids]) -> Edit:
    mask = plan_.mask_of(named["self"], named["dim"])
    first = named["start"] % len(mask)
    length = int(mask[first : first + named["length"]].sum())
    return Edit({"start": int(mask[:first].sum()), "length": length})


def _selected(plan_: _Plan, _node: Node, named: Mapping[str, Any], _: list[Ids]) -> Edit:
    mask = plan_.mask_of(named["self"], named["dim"])
    return Edit({"index": int(mask[: named["index"] % len(mask)].sum())})


def _shifts(plan_: _Plan, _node: Node, named: Mapping[str, Any], _: list[Ids]) -> Edit:
    """What a roll brings to the front came from the end, so as many remain in front."""
    shifts = []
    for shift, dim in zip(named["shifts"], named["dims"], strict=True):
        mask = plan_.mask_of(named["self"], dim)
        shifts.append(int(mask[len(mask) - shift % len(mask) :].sum()))
    return Edit({"shifts": shifts})


def _pieces(_plan: _Plan, _node: Node, named: Mapping[str, Any], want: list[Ids]) -> Edit:
    dim = named["dim"]
    arguments = {"self": named["self"], "split_sizes": [p.shape[dim] for p in want], "dim": dim}
    return Edit(arguments, torch.ops.aten.split_with_sizes.default)


def _shuffle(plan_: _Plan, _node: Node, named: Mapping[str, Any], _: list[Ids]) -> Edit:
    return Edit({"groups": _rows(plan_.mask_of(named["self"], 1), named["groups"])})


_RESIZE: dict[str, Callable[[_Plan, Node, Mapping[str, Any], list[Ids]], Edit | None]] = {
    **dict.fromkeys(
        ["view", "reshape", "_unsafe_view", "expand", "broadcast_to", "unflatten"], _sizes
    ),
    **dict.fromkeys(["pad", "constant_pad_nd"], _pad_amounts),
    **dict.fromkeys(["split", "split_with_sizes", "chunk", "tensor_split"], _pieces),
    "slice": _slice_bounds,
    "narrow": _narrow_bounds,
    "select": _selected,
    "roll": _shifts,
    "channel_shuffle": _shuffle,
}


# --- layers that remember a size -----------------------------------------------------------------


def _rows(mask: Tensor, groups: int) -> int:
    """How many of the groups keep anything."""
    return int(mask.reshape(groups, -1).any(1).sum())


def _convolution(plan_: _Plan, node: Node) -> dict[str, Any]:
    named = arguments_of(node, (node.args, node.kwargs))
    if named["groups"] == 1:
        return {}
    axis = plan_.flow.values[node].dim() - len(plan_.flow.values[named["weight"]].shape) + 1
    groups = _rows(plan_.mask_of(named["input"], axis), named["groups"])
    return {} if groups == named["groups"] else {"groups": groups}


def _group_norm(plan_: _Plan, node: Node) -> dict[str, Any]:
    named = arguments_of(node, (node.args, node.kwargs))
    groups = _rows(plan_.mask_of(named["input"], 1), named["num_groups"])
    return {} if groups == named["num_groups"] else {"num_groups": groups}


def _layer_norm(plan_: _Plan, node: Node) -> dict[str, Any]:
    named = arguments_of(node, (node.args, node.kwargs))
    rank = len(named["normalized_shape"])
    masks = plan_.masks(plan_.flow.values[named["input"]], node)[-rank:]
    return {"normalized_shape": [int(mask.sum()) for mask in masks]}


def _attention(plan_: _Plan, node: Node) -> dict[str, Any]:
    """The scale was for the width the network was trained with, so it is written down."""
    named = arguments_of(node, (node.args, node.kwargs))
    mask = plan_.mask_of(named["query"], -1)
    if named["scale"] is not None or bool(mask.all()):
        return {}
    return {"scale": len(mask) ** -0.5}


_LAYERS: dict[str, Callable[[_Plan, Node], dict[str, Any]]] = {
    **dict.fromkeys(["conv1d", "conv2d", "conv3d", "convolution"], _convolution),
    **dict.fromkeys(["conv_transpose1d", "conv_transpose2d", "conv_transpose3d"], _convolution),
    "group_norm": _group_norm,
    "layer_norm": _layer_norm,
    "rms_norm": _layer_norm,
    "scaled_dot_product_attention": _attention,
}
