"""How a block is best coded: its middle, its alphabet, and the classes of its lines."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lilliput.pack.block import Integers, Method, Plan, planned, shape_of
from lilliput.pack.classes import MOST_LINES, Classes, Way, in_classes, ways
from lilliput.pack.tables import TOTAL, cost_of, fitted
from lilliput.pack.tokens import ALPHABET, Alphabet, Words, fold

__all__ = ["plan_block"]

Counts = npt.NDArray[np.int64]

_ALPHABETS = ((256, 0), (128, 3), (64, 2), (24, 1), (8, 0))
"""Direct tokens, and steps for numbers above, that are tried."""
_SAMPLE = 4096


def plan_block(values: Integers, columns: int, like: Plan | None = None) -> Plan:
    """Chooses how a block is coded.

    Args:
        values: At least one.
        columns: Integers in a row; rows are whole wherever classes are to be told apart.
        like: Another block's plan, whose alphabet and way to find classes are taken over.
    """
    middle = _middle(values)
    folded = fold(values, middle).reshape(shape_of(len(values), columns))
    alphabets = _alphabets(folded.reshape(-1), like)
    found = list(_in_classes(folded, like.way if like else None))
    best = found[0]
    if len(found) > 1:
        tokens = alphabets[0].tokens(folded)
        size = alphabets[0].size
        costs = [_estimate(pair[0], _counted(tokens, pair[0], size)) for pair in found]
        best = found[int(np.argmin(costs))]
    choices = [_choice(folded, middle, one, best[0]) for one in alphabets]
    return planned(folded, min(choices, key=lambda choice: choice.bits).method, best[1])


def _in_classes(folded: Words, way: Way | None) -> Iterator[tuple[Classes, Way]]:
    """Ways to tell the lines of a block apart."""
    if max(folded.shape) > MOST_LINES:
        yield Classes(None, None), Way(False, False, 1)
        return
    distances = ((folded >> 1) + (folded & 1)).astype(np.float32)
    for one in [way] if way else ways(*folded.shape):
        yield in_classes(distances, one), one


def _middle(values: Integers) -> int:
    """What integers lie around: 0, or else the median of a sample."""
    sample = np.sort(values[:: max(1, len(values) // _SAMPLE)])
    low, middle, high = sample[[len(sample) // 4, len(sample) // 2, 3 * len(sample) // 4]]
    return 0 if low <= 0 <= high else int(middle)


def _alphabets(folded: Words, like: Plan | None) -> list[Alphabet]:
    """The two alphabets whose bits are fewest, counted without classes of lines."""
    largest = int(folded.max())
    if like:
        alphabet = Alphabet.holding(like.alphabet.direct, like.alphabet.steps, largest)
        if alphabet.classes and alphabet.size <= ALPHABET:
            return [alphabet]
    found: list[tuple[float, int, Alphabet]] = []
    for place, (direct, steps) in enumerate(_ALPHABETS):
        alphabet = Alphabet.holding(direct, steps, largest)
        if alphabet.size > ALPHABET or alphabet in [one for _, _, one in found]:
            continue
        counts = np.bincount(alphabet.tokens(folded), minlength=alphabet.size)
        used = np.flatnonzero(counts)
        bits = _bits(counts[used]) + float(counts @ alphabet.bits) + 8 * len(used)
        found.append((bits, place, alphabet))
    return [alphabet for _, _, alphabet in sorted(found)[:2]]


def _bits(counts: Counts) -> float:
    """Bits of tokens that occur so often, none of them cheaper than a frequency of 1 allows."""
    share = np.maximum(counts / counts.sum(), 1 / TOTAL)
    return float(counts @ np.log2(share.sum() / share))


def _entropy(counts: Counts) -> float:
    """Bits of symbols that occur so often."""
    used = counts[counts > 0]
    return float((used * np.log2(used.sum() / used)).sum()) if len(used) else 0.0


def _counted(tokens: npt.NDArray[np.uint8], classes: Classes, size: int) -> Counts:
    """How often each token occurs, table by table."""
    count = classes.tables
    if classes.rows is None and classes.columns is None:
        return np.bincount(tokens.reshape(-1), minlength=size)[None]
    tables, is_coded = classes.grid(*tokens.shape)
    both = tables.astype(np.int32) * size + tokens
    return np.bincount(both[is_coded], minlength=count * size).reshape(count, size)


def _estimate(classes: Classes, counts: Counts) -> float:
    """Bits that a block is likely to take: its tables cost most where there are few integers."""
    bits = 0.0
    for row in counts[counts.any(1)]:
        whole, used = _entropy(row), np.count_nonzero(row)
        bits += whole + min(9.5 * used, 0.72 * used + 60 + 0.005 * whole)
    for lines in (classes.rows, classes.columns):
        if lines is not None:
            bits += _entropy(np.bincount(lines)) + 14 * len(np.unique(lines))
    return bits


@dataclass(frozen=True, eq=False)
class _Choice:
    """A way to code a block, and the bits it takes."""

    method: Method
    bits: float


def _choice(folded: Words, middle: int, alphabet: Alphabet, classes: Classes) -> _Choice:
    """The tables that suit an alphabet and classes."""
    counts = _counted(alphabet.tokens(folded), classes, alphabet.size)
    tables = fitted(counts, alphabet)
    bits = float((counts @ alphabet.bits).sum())
    bits += sum(cost_of(*pair, alphabet) for pair in zip(counts, tables, strict=True))
    return _Choice(Method(middle, alphabet, classes, tuple(tables)), bits)
