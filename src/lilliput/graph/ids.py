"""Tensors of channel ids: every element of an activation carries the channel that made it.

An id is a whole number. `FIXED` marks what may not be removed: inputs, outputs, constants. Where
ids do not vary along an axis, that axis is an expanded view of one position (stride 0), so a map of
112 by 112 costs no more than its channels, and a glance at the strides tells which axes matter.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

__all__ = [
    "FIXED",
    "Deferred",
    "Grid",
    "Ids",
    "Labels",
    "Meet",
    "Pairs",
    "Reduce",
    "Weight",
    "compress",
    "expand",
    "fixed",
    "meeting",
    "merge",
    "packed",
    "pair",
    "relabel",
    "varying",
]

FIXED = 0

Ids = Int64[Tensor, "..."]
Labels = Int64[Tensor, " ids"]
Pairs = Int64[Tensor, "2 _"]


@dataclass(frozen=True)
class Weight:
    """One parameter or buffer, or several of one shape combined elementwise (weight times mask).

    Args:
        parts: For each, its name and the axis of it that lies at each axis of the value.
        shape: Sizes of the value.
    """

    parts: tuple[tuple[str, tuple[int, ...]], ...]
    shape: tuple[int, ...]

    def permute(self, order: tuple[int, ...]) -> "Weight":
        """Gives the same weight with its axes in another order."""
        parts = tuple((name, tuple(axes[d] for d in order)) for name, axes in self.parts)
        return Weight(parts, tuple(self.shape[d] for d in order))


def compress(ids: Ids) -> Ids:
    """Keeps one position of every axis along which the ids do not vary."""
    for axis in range(ids.dim()):
        if ids.shape[axis] > 1:
            first = ids.narrow(axis, 0, 1)
            if ids.stride(axis) == 0 or bool((ids == first).all()):
                ids = first
    return ids


def packed(ids: Ids) -> Ids:
    """The same as `compress` for ids that come from `expand`, by a glance at the strides."""
    for axis in range(ids.dim()):
        if ids.shape[axis] > 1 and ids.stride(axis) == 0:
            ids = ids.narrow(axis, 0, 1)
    return ids


def expand(ids: Ids, shape: tuple[int, ...]) -> Ids:
    """Broadcasts to `shape`, with stride 0 along every axis on which the ids do not vary."""
    return compress(ids).expand(shape)


def fixed(shape: tuple[int, ...]) -> Ids:
    """Ids of something that may not be removed."""
    return torch.zeros((), dtype=torch.long).expand(shape)


def varying(ids: Ids) -> tuple[int, ...]:
    """Axes along which the ids differ; `ids` must come from `expand`."""
    return tuple(d for d in range(ids.dim()) if ids.shape[d] > 1 and ids.stride(d) != 0)


def pair(a: Ids, b: Ids) -> Pairs:
    """Every distinct pair of ids that meet where `a` and `b` are broadcast together."""
    a, b = torch.broadcast_tensors(a, b)
    for axis in range(a.dim()):
        if a.shape[axis] > 1 and a.stride(axis) == b.stride(axis) == 0:
            a, b = a.narrow(axis, 0, 1), b.narrow(axis, 0, 1)
    both = torch.stack([a.reshape(-1), b.reshape(-1)])
    both = both[:, both[0] != both[1]]
    if both.shape[1] > 1:
        base = int(both.max()) + 1
        codes = torch.unique(both[0] * base + both[1])
        both = torch.stack([codes // base, codes % base])
    return both


def relabel(ids: Ids, labels: Labels) -> Ids:
    """The same ids after merging."""
    return expand(labels[packed(ids)], tuple(ids.shape))


def merge(labels: Labels, pairs: list[Pairs]) -> Labels:
    """Merges the sets that `pairs` connect; a set is named by its smallest id, so `FIXED` wins.

    Every round hooks each set's root to the smallest root it meets, then shortens the chains; both
    are whole-array operations, and a handful of rounds suffice.
    """
    names = labels.numpy().copy()
    edges = torch.cat([torch.zeros(2, 0, dtype=torch.long), *pairs], 1).numpy()
    while True:
        ends = names[edges]
        edges = edges[:, ends[0] != ends[1]]
        if not edges.shape[1]:
            return torch.from_numpy(names)
        ends = names[edges]
        low, high = ends.min(0), ends.max(0)
        np.minimum.at(names, high, low)
        while True:
            shorter = names[names]
            if np.array_equal(shorter, names):
                break
            names = shorter


def meeting(a: Ids, b: Ids) -> Pairs:
    """Which ids tie where two tensors with equally many axes meet elementwise.

    Positions that face each other are removed together. A tensor that is broadcast along the axis
    on which the other's channels lie has no position to remove there, so it stays as it is.
    """
    lost_a = any(a.shape[d] == 1 for d in varying(b))
    lost_b = any(b.shape[d] == 1 for d in varying(a))
    if not lost_a and not lost_b:
        return pair(a, b)
    stays = ([a] if lost_a else []) + ([b] if lost_b else [])
    return torch.cat([pair(x, fixed(tuple(x.shape))) for x in stays], 1)


@runtime_checkable
class Deferred(Protocol):
    """A relation that can only be read once other ties are known."""

    def pairs(self, labels: Labels, /) -> Pairs: ...


@dataclass(frozen=True, eq=False)
class Grid:
    """A tensor on which channels lie along several axes, such as heads by width.

    What remains must be a rectangle, so channels are tied along all those axes but the last.
    """

    ids: Ids

    def pairs(self, labels: Labels, /) -> Pairs:
        ids = relabel(self.ids, labels)
        found = [torch.zeros(2, 0, dtype=torch.long)]
        found += [pair(ids, ids.narrow(d, 0, 1)) for d in varying(ids)[:-1]]
        return torch.cat(found, 1)


@dataclass(frozen=True, eq=False)
class Meet:
    """Two tensors that meet elementwise, one of which has channels along several axes."""

    a: Ids
    b: Ids

    def pairs(self, labels: Labels, /) -> Pairs:
        return meeting(relabel(self.a, labels), relabel(self.b, labels))


@dataclass(frozen=True, eq=False)
class Reduce:
    """`result` holds one value for what `ids` holds along `axes`, such as a score for each head."""

    ids: Ids
    axes: tuple[int, ...]
    result: Ids

    def pairs(self, labels: Labels, /) -> Pairs:
        ids = relabel(self.ids, labels)
        if set(varying(ids)) & set(self.axes):
            return pair(self.result, fixed(tuple(self.result.shape)))
        return pair(ids, self.result)
