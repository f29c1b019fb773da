"""The bits that a block is likely to take, before its tables are made."""

from collections.abc import Callable
from functools import cache

import numpy as np
import numpy.typing as npt

from lilliput.pack.classes import Classes
from lilliput.pack.tables import Counts
from lilliput.pack.tokens import Alphabet

__all__ = ["Times", "Tokens", "Weigh", "count_tokens", "entropy_bits", "times_log", "weigh_tokens"]

Tokens = npt.NDArray[np.uint8]
Times = npt.NDArray[np.integer]
Weigh = Callable[[Tokens, Classes, Alphabet], tuple[float, Times]]
"""What `weigh_tokens` does."""

_ONE = 1 << 16
"""Sums are of whole numbers in units of 2^-16 bits, so that C and NumPy choose alike."""
_LINE, _LISTED, _SPIKE, _SHAPE = 14 * _ONE, 622592, 47186, 60 * _ONE
"""About what tables take: `encoder/encode.h`."""
_SHAPE_LOSS = 200


def weigh_tokens(tokens: Tokens, classes: Classes, alphabet: Alphabet) -> tuple[float, Counts]:
    """Bits of tokens, of their tables, which cost most of few integers, and of classes of lines.

    Args:
        tokens: Of shape (rows, columns).
        classes: Of these.
        alphabet: Of tokens.

    Returns:
        Bits, and how often each token occurs, table by table.
    """
    counts = count_tokens(tokens, classes, alphabet.size)
    logs = times_log(tokens.size)
    whole, used = counts.sum(1), np.count_nonzero(counts, 1)
    entropy = logs[whole] - logs[counts].sum(1)
    tables = np.minimum(_LISTED * used, _SPIKE * used + _SHAPE + entropy // _SHAPE_LOSS)
    cost = int((entropy + tables * (used > 0)).sum()) + int(counts.sum(0) @ alphabet.bits) * _ONE
    for lines in (classes.rows, classes.columns):
        if lines is not None:
            times = np.bincount(lines)
            cost += int(logs[len(lines)] - logs[times].sum()) + _LINE * int(np.count_nonzero(times))
    return cost / _ONE, counts


def count_tokens(tokens: Tokens, classes: Classes, size: int) -> Counts:
    """How often each token below `size` occurs, table by table."""
    if classes.rows is None and classes.columns is None:
        return np.bincount(tokens.reshape(-1), minlength=size)[None]
    tables, is_coded = classes.grid(*tokens.shape)
    both = tables.astype(np.int32) * size + tokens
    counts = np.bincount(both[is_coded], minlength=classes.tables * size)
    return counts.reshape(classes.tables, size)


def times_log(most: int) -> npt.NDArray[np.int64]:
    """N log2 n for all whole n up to `most`, and for some more, in units of 2^-16."""
    return _times_log(max(16, most.bit_length()))


@cache
def _times_log(digits: int) -> npt.NDArray[np.int64]:
    numbers = np.arange(1 << digits)
    return np.rint(numbers * np.log2(np.maximum(numbers, 1)) * _ONE).astype(np.int64)


def entropy_bits(counts: Counts) -> float:
    """Bits of symbols that occur so often."""
    logs = times_log(int(counts.sum()))
    return float(logs[counts.sum()] - logs[counts].sum()) / _ONE
