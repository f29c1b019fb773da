"""Integers of a new array by what they differ from those of the old, in pools of likely values.

How often an integer moves depends on how far from 0 it was, so differences are put into pools by
that; and they count away from 0, so that those which lead back are told from those which do not.
Floats differ by how many floats lie between them.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lilliput.core import PackError
from lilliput.pack.codings import Array
from lilliput.pack.tokens import Alphabet, Integers, fold

__all__ = ["POOLS", "TEXT", "Places", "Pools", "bits_of", "differences", "moved", "pools_of"]

_EDGES = np.array((1, 2, 3, 5))
"""Integers whose distance from 0 is below the first are in pool 0, and so on."""
_FLOATS = len(_EDGES) + 1
TEXT = _FLOATS + 2
"""The pool of bytes, which may repeat."""
_NEW = TEXT + 1
POOLS = _NEW + 1
"""Integers by what they were, float32, narrower floats, bytes, and items that are new."""

Places = npt.NDArray[np.intp]


def pools_of(old: Array, is_new: npt.NDArray[np.bool_], dtype: str, *, is_text: bool) -> Places:
    """The pool of each item.

    Args:
        old: What the items were; one axis.
        is_new: Which were not there.
        dtype: Their type.
        is_text: Whether they are bytes that may repeat.
    """
    if is_text:
        return np.full(old.size, TEXT, np.intp)
    if "float" in dtype:
        found = np.full(old.size, _FLOATS + (dtype != "float32"), np.intp)
    else:
        found = np.digitize(np.abs(old.astype(np.int64)), _EDGES)
    found[is_new] = _NEW
    return found


def differences(old: Array, new: Array, is_float: bool) -> Integers:
    """By how much each item moved away from 0, or for floats up; modulo 2^32."""
    before, after = _ordered(old, is_float), _ordered(new, is_float)
    moved_by = after - before
    return (
        np.where(_is_below(before, is_float), -moved_by, moved_by).astype(np.uint32).view(np.int32)
    )


def moved(old: Array, by: Integers, is_float: bool) -> Array:
    """The new items, of the old ones' type and shape."""
    before = _ordered(old, is_float)
    step = by.astype(np.int64)
    after = before + np.where(_is_below(before, is_float), -step, step)
    bits = after.astype(np.uint64).astype(f"u{old.itemsize}")
    if is_float:
        half = bits.dtype.type(1 << (8 * old.itemsize - 1))
        bits = np.where(bits & half, bits ^ half, ~bits).astype(bits.dtype)
    return bits.view(old.dtype).reshape(old.shape)


def _is_below(before: npt.NDArray[np.int64], is_float: bool) -> npt.NDArray[np.bool_]:
    return np.zeros(before.shape, bool) if is_float else before < 0


def _ordered(values: Array, is_float: bool) -> npt.NDArray[np.int64]:
    """Integers as they are; floats as integers that grow with them."""
    flat = np.ascontiguousarray(values).reshape(-1)
    if not is_float:
        return flat.astype(np.int64)
    bits = flat.view(f"u{flat.itemsize}")
    half = bits.dtype.type(1 << (8 * flat.itemsize - 1))
    return np.where(bits & half, ~bits, bits | half).astype(np.int64)


def bits_of(values: Integers) -> float:
    """What differences are likely to take."""
    if not values.any():
        return 0.0
    folded = fold(values, 0)
    alphabet = Alphabet.holding(8, 1, int(folded.max()))
    tokens = alphabet.tokens(folded)
    counts = np.bincount(tokens, minlength=alphabet.size)
    used = counts[counts > 0]
    return float(counts @ alphabet.bits) + float(used @ np.log2(used.sum() / used))


class Pools:
    """Differences pool by pool: collected in one order, and given back in the same.

    Args:
        pools: What is in them when they are read.
    """

    def __init__(self, pools: Sequence[Integers] | None = None) -> None:
        self._parts: list[list[Integers]] = [[] for _ in range(POOLS)]
        self._pools = pools or []
        self._at = [0] * POOLS

    def add(self, values: Integers, places: Places) -> None:
        """Puts the next values into their pools."""
        for pool in np.unique(places):
            self._parts[pool].append(values[places == pool])

    def whole(self) -> list[Integers]:
        """All of each pool."""
        return [np.concatenate([np.zeros(0, np.int32), *parts]) for parts in self._parts]

    def take(self, places: Places, what: str) -> Integers:
        """The next values of their pools.

        Raises:
            PackError: A pool has not so many.
        """
        found = np.zeros(len(places), np.int32)
        for pool in np.unique(places):
            is_own = places == pool
            start, count = self._at[pool], int(np.count_nonzero(is_own))
            values = self._pools[pool][start : start + count]
            if len(values) < count:
                raise PackError(f"{what} has more items than there are differences for")
            found[is_own] = values
            self._at[pool] = start + count
        return found
