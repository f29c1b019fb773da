"""The shortest block of form 3: which order, and which neighbours, tell most of integers."""

from collections.abc import Iterator, Sequence

import numpy as np

from lilliput.pack.choose import middle_of
from lilliput.pack.classes import shape_of
from lilliput.pack.mixing import CHEAPEST, FARTHEST, Head, encode_mixed, is_possible
from lilliput.pack.native import native_mixing
from lilliput.pack.predict import Kernel
from lilliput.pack.regression import BATCH, MOST_REGRESSORS
from lilliput.pack.tokens import Integers

__all__ = ["shortest_mixed"]

_SAMPLE = 1 << 18
_NEAR = (1, 2, 3, 4, 5, 7, 9, 16, 25)
"""Distances in a row, and in a column, that filters of networks have."""
_CLIPPED = 3


def shortest_mixed(
    values: Integers, columns: int, most_bytes: int, kernels: Sequence[Kernel] = ()
) -> bytes | None:
    """The block; None where it takes more than `most_bytes`, or cannot be.

    Args:
        values: At least one.
        columns: Integers in a row.
        most_bytes: More are of no use.
        kernels: Where taps of filters may be.
    """
    native, found = native_mixing(), None
    for head in _heads(values, columns, kernels):
        if native:
            data = native.encode(values, columns, head, most_bytes)
        else:
            data = encode_mixed(values, columns, head)
        if data is not None and len(values) <= CHEAPEST * len(data) and len(data) <= most_bytes:
            found, most_bytes = data, len(data)
    return found


def _heads(values: Integers, columns: int, kernels: Sequence[Kernel]) -> Iterator[Head]:
    """Both orders, where both are worth trying."""
    rows, columns = shape_of(len(values), columns)
    middle = middle_of(values)
    apart = (values.view(np.uint32) - np.uint32(middle & 0xFFFFFFFF)).view(np.int32)
    clipped = (np.clip(apart, -_CLIPPED, _CLIPPED) + _CLIPPED).reshape(rows, columns)
    for is_turned in (False, True) if rows > 1 and columns > 1 else (False,):
        high, wide = (columns, rows) if is_turned else (rows, columns)
        group = 0 if is_turned else _taps(kernels, wide)
        if not group and high > BATCH and 1 < wide <= MOST_REGRESSORS:
            group = wide
        if is_turned and not group:
            continue
        order = np.ascontiguousarray(clipped.T) if is_turned else clipped
        head = Head(middle, is_turned, group, _neighbours(order.reshape(-1), wide))
        if is_possible(head, (rows, columns)):
            yield head


def _taps(kernels: Sequence[Kernel], columns: int) -> int:
    """Taps of filters, which are foretold from each other, where filters lie one after another."""
    found = (one.taps for one in kernels if one.stride == 1 and columns % one.taps == 0)
    return next(found, 0)


def _neighbours(clipped: Integers, columns: int) -> tuple[int, int, int, int]:
    """The four distances over which integers tell most of each other."""
    candidates = {*_NEAR, *(columns * near for near in _NEAR), columns - 1, columns + 1}
    sample = clipped[:_SAMPLE]
    known = {
        distance: _information(sample, distance)
        for distance in sorted(candidates)
        if 0 < distance < min(len(sample), FARTHEST)
    }
    best = sorted(known, key=lambda distance: -known[distance])
    first, second, third, fourth = [*best, 1, 1, 1, 1][:4]
    return first, second, third, fourth


def _information(clipped: Integers, distance: int) -> float:
    """Bits that an integer tells of the one so far behind."""
    size = 2 * _CLIPPED + 1
    pairs = clipped[distance:] * size + clipped[:-distance]
    joint = np.bincount(pairs, minlength=size * size).reshape(size, size) / len(pairs)
    apart = joint.sum(1, keepdims=True) * joint.sum(0)
    used = joint > 0
    return float(joint[used] @ np.log2(joint[used] / apart[used]))
