"""The limit above which so many numbers of several tensors lie, without holding a copy of them."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

__all__ = ["limit_of"]

_AT_ONCE = 1 << 20
_DIGIT = 16  # bits


def limit_of(parts: Callable[[], Iterable[Tensor]], number: int) -> float:
    """The lowest of the `number` highest numbers of all tensors.

    Radix selection from the top digit down: each digit takes one more look at all numbers, and
    counts those that share the digits known so far.

    Args:
        parts: Gives the tensors; asked once for each digit.
        number: At least 1, and no more than there are numbers.

    Source: Alabi et al. 2012, "Fast k-selection algorithms for graphics processing units",
    section 4, on keys in the order of the floats (Herf 2001, "Radix Tricks").
    """
    is_double = any(part.dtype == torch.float64 for part in parts())
    width = 64 if is_double else 32
    known, left = 0, number
    for shift in range(width - _DIGIT, -1, -_DIGIT):
        counts = np.zeros(1 << _DIGIT, np.int64)
        for every in _keys(parts(), width):
            above = shift + _DIGIT
            keys = every[every >> above == known] if above < width else every
            digits = (keys >> shift) & (len(counts) - 1)
            counts += np.bincount(digits.astype(np.int64), minlength=len(counts))
        from_top = counts[::-1].cumsum()
        place = int(np.searchsorted(from_top, left))
        left -= int(from_top[place - 1]) if place else 0
        known = known << _DIGIT | (len(counts) - 1 - place)
    return _number(known, width)


def _keys(parts: Iterable[Tensor], width: int) -> Iterator[np.ndarray]:
    """Whole numbers in the order of the floats, some at a time."""
    real, whole = (np.float64, np.uint64) if width == 64 else (np.float32, np.uint32)
    top = whole(1 << (width - 1))
    for part in parts:
        for some in part.detach().reshape(-1).split(_AT_ONCE):
            # NumPy knows no bfloat16; adding nothing makes -0 a plain 0
            values = (some.cpu().double() if width == 64 else some.cpu().float()).numpy() + real(0)
            bits = values.view(whole)
            yield np.where(bits & top, ~bits, bits | top)


def _number(key: int, width: int) -> float:
    """The float of a key."""
    real, whole = (np.float64, np.uint64) if width == 64 else (np.float32, np.uint32)
    top, every = 1 << (width - 1), (1 << width) - 1
    bits = key ^ top if key & top else ~key & every
    return float(np.array([bits], whole).view(real)[0])
