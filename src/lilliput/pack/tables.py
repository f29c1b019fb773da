"""Frequencies of tokens: how a block says them, and which saying costs the fewest bits.

A table is a list of tokens with their frequencies, or a shape of the bank in which some tokens,
such as the zero of pruned weights, stick out with frequencies of their own.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from lilliput.core import PackError
from lilliput.pack.bank import SCALES, SHAPES, masses
from lilliput.pack.fields import FieldReader, FieldWriter
from lilliput.pack.tokens import ALPHABET, Alphabet

__all__ = ["TOTAL", "Listed", "Shaped", "Table", "cost_of", "fitted", "read_table", "write_table"]

TOTAL = 1 << 12
"""What frequencies add up to."""

Counts = npt.NDArray[np.int64]
Costs = npt.NDArray[np.float64]
_MOST_SPIKES = 12
_SPIKE_BITS = 24


@dataclass(frozen=True)
class Listed:
    """Tokens with their frequencies, which add up to 4,096.

    Args:
        pairs: By token.
    """

    pairs: tuple[tuple[int, int], ...]

    def frequencies(self, alphabet: Alphabet) -> Counts:
        """Of each token."""
        found = np.zeros(alphabet.size, np.int64)
        for token, frequency in self.pairs:
            found[token] = frequency
        return found


@dataclass(frozen=True)
class Shaped:
    """A shape of the bank.

    Args:
        shape: Which.
        scale: How wide.
        limit: Tokens from here on never occur.
        spikes: Tokens with frequencies of their own, in order.
    """

    shape: int
    scale: int
    limit: int
    spikes: tuple[tuple[int, int], ...]

    def frequencies(self, alphabet: Alphabet) -> Counts:
        """Of each token: what spikes leave is shared as the shape says, at least 1 for each."""
        found = np.zeros(alphabet.size, np.int64)
        is_free = np.arange(alphabet.size) < self.limit
        for token, frequency in self.spikes:
            found[token] = frequency
            is_free[token] = False
        free = np.flatnonzero(is_free)
        if len(free):
            rest = TOTAL - int(found.sum())
            found[free] = _shared(_bank(alphabet)[self.shape, self.scale, free], rest)
        return found


Table = Listed | Shaped


def _shared(mass: Counts, rest: int) -> Counts:
    """Shares of a whole in proportion to masses; none is 0."""
    left = rest - len(mass)
    total = int(mass.sum())
    excess = np.maximum(mass * rest - total, 0)
    sums = np.cumsum(excess)
    if not sums[-1]:
        shares = np.ones(len(mass), np.int64)
        shares[0] += left
        return shares
    ends = (sums.astype(np.uint64) * np.uint64(left) // np.uint64(sums[-1])).astype(np.int64)
    return 1 + np.diff(ends, prepend=0)


def write_table(out: FieldWriter, table: Table) -> None:
    """Says a table; the first number is 0 for a list, or 1 and more for a shape."""
    match table:
        case Listed(pairs):
            out.number(0)
        case Shaped(shape, scale, limit, pairs):
            for number in (shape + 1, scale, limit):
                out.number(number)
    out.number(len(pairs))
    before = -1
    for token, frequency in pairs:
        out.number(token - before - 1)
        out.number(frequency - 1)
        before = token


def read_table(fields: FieldReader, alphabet: Alphabet) -> Table:
    """The table that `write_table` said.

    Raises:
        PackError: Frequencies do not add up, or tokens are not of the alphabet.
    """
    kind = fields.number(SHAPES)
    scale = fields.number(SCALES - 1) if kind else 0
    limit = fields.number(alphabet.size) if kind else 0
    pairs: list[tuple[int, int]] = []
    token = -1
    for _ in range(fields.number(alphabet.size)):
        token += 1 + fields.number(ALPHABET)
        pairs.append((token, 1 + fields.number(TOTAL - 1)))
    if token >= (limit if kind else alphabet.size):
        raise PackError(f"{fields.what} has a frequency for token {token}, which there is not")
    rest = TOTAL - sum(frequency for _, frequency in pairs)
    free = limit - len(pairs) if kind else 0
    if rest < free or (rest and not free):
        raise PackError(f"{fields.what} has frequencies that do not add up to {TOTAL}")
    return Shaped(kind - 1, scale, limit, tuple(pairs)) if kind else Listed(tuple(pairs))


def _bits_of(counts: Counts, frequencies: Counts) -> float:
    used = counts > 0
    return float((counts[used] * (12 - np.log2(frequencies[used]))).sum())


def fitted(counts: Counts, alphabet: Alphabet) -> list[Table]:
    """The cheapest table for each row of counts."""
    shaped = _shapes(counts, alphabet)
    return [_cheaper(row, table, alphabet) for row, table in zip(counts, shaped, strict=True)]


def _cheaper(counts: Counts, shaped: Shaped, alphabet: Alphabet) -> Table:
    if not counts.any():
        return Listed(((0, TOTAL),))
    both: tuple[Table, ...] = (shaped, _listed(counts))
    return min(both, key=lambda table: cost_of(counts, table, alphabet))


def cost_of(counts: Counts, table: Table, alphabet: Alphabet) -> float:
    """Bits of a table, and of tokens that occur so often."""
    out = FieldWriter()
    write_table(out, table)
    return 8 * len(out.data) + _bits_of(counts, table.frequencies(alphabet))


def _listed(counts: Counts) -> Listed:
    """The frequencies that were counted, rounded so that each is at least 1."""
    tokens = np.flatnonzero(counts)
    return Listed(
        tuple(zip(tokens.tolist(), _rounded(counts[tokens].astype(np.float64), TOTAL), strict=True))
    )


def _rounded(counts: Costs, total: int) -> list[int]:
    """Whole frequencies in proportion to counts; what is too much goes where it costs least."""
    ideal = counts * (total / counts.sum())
    found = np.maximum(np.rint(ideal), 1).astype(np.int64)
    while (over := int(found.sum()) - total) != 0:
        step = -1 if over > 0 else 1
        change = counts * np.log2(np.maximum(found + step, 1e-9) / found)
        order = np.argsort(-change, kind="stable")
        order = order[found[order] + step >= 1][: abs(over)]
        found[order] += step
    return [int(frequency) for frequency in found]


def _bank(alphabet: Alphabet) -> Counts:
    """The masses of every shape and scale; those of direct tokens are the same in any alphabet."""
    way = (alphabet.direct, alphabet.steps) if alphabet.classes else (ALPHABET, 0)
    return _whole_bank(*way)[..., : alphabet.size]


@lru_cache(16)
def _whole_bank(direct: int, steps: int) -> Counts:
    classes = min((32 - steps) << steps, ALPHABET - direct)
    alphabet = Alphabet(direct, steps, classes)
    return masses(alphabet, np.arange(SHAPES)[:, None], np.arange(SCALES))


@lru_cache(16)
def _whole_bits(direct: int, steps: int) -> Costs:
    """Bits of each token by shape and scale, with a floor of half a frequency."""
    floor = (1 << 24) / TOTAL / 2
    return 24 - np.log2(np.maximum(_whole_bank(direct, steps), floor))


def _shapes(counts: Counts, alphabet: Alphabet) -> list[Shaped]:
    """The best shape for each row, found with spikes where tokens stick out of a first guess."""
    way = (alphabet.direct, alphabet.steps) if alphabet.classes else (ALPHABET, 0)
    bits = _whole_bits(*way)[..., : alphabet.size]
    flat = bits.reshape(-1, alphabet.size)
    is_free = np.ones(counts.shape, bool)
    is_free[:, 0] = False  # the middle is a spike from the start
    for is_last in (False, True):
        free = np.where(is_free, counts, 0).astype(np.float64)
        limits = [int(np.flatnonzero(row)[-1]) + 1 if row.any() else 1 for row in counts]
        best = [
            int(np.argmin(_conditional(flat, *row)))
            for row in zip(free, is_free, limits, strict=True)
        ]
        if is_last:
            break
        for row, place in enumerate(best):
            is_free[row] &= ~_sticking(counts[row], flat[place], is_free[row])
    return [
        Shaped(*divmod(place, SCALES), limit, _spikes(row, ~mask, limit))
        for row, mask, limit, place in zip(counts, is_free, limits, best, strict=True)
    ]


def _conditional(bits: Costs, counts: Costs, is_free: npt.NDArray[np.bool_], limit: int) -> Costs:
    """Bits of free tokens, given that they are free, for each shape and scale."""
    share = np.exp2(-bits[:, :limit]) @ is_free[:limit].astype(np.float64)
    found: Costs = bits @ counts + counts.sum() * np.log2(share + 1e-12)
    return found


def _sticking(counts: Counts, bits: Costs, is_free: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Tokens that occur so much more often than the shape says that naming them pays."""
    whole = counts[is_free].sum()
    share = np.exp2(-bits)
    expected = np.maximum(whole * share / max(share[is_free].sum(), 1e-12), 0.5)
    gain = np.where(is_free, counts * np.log2(np.maximum(counts, 1e-9) / expected), 0)
    gain -= np.where(is_free, counts - expected, 0) * np.log2(np.e)
    best = np.argsort(-gain, kind="stable")[: _MOST_SPIKES - 1]
    found = np.zeros(len(counts), bool)
    found[best] = (gain[best] > _SPIKE_BITS) & (counts[best] > expected[best])
    return found


def _spikes(
    counts: Counts, is_spike: npt.NDArray[np.bool_], limit: int
) -> tuple[tuple[int, int], ...]:
    tokens = np.flatnonzero(is_spike[:limit] & (counts[:limit] > 0))
    own = counts[tokens].astype(np.float64)
    free = limit - len(tokens)
    if not len(tokens):
        return ()
    if not free:
        return tuple(zip(tokens.tolist(), _rounded(own, TOTAL), strict=True))
    others = float(counts.sum() - own.sum())
    found = np.array(_rounded(np.append(own, others + 1e-9), TOTAL))
    # free tokens share what their counts ask for, and have at least 1 each
    while (missing := free - int(found[-1])) > 0:
        largest = int(np.argmax(found[:-1]))
        taken = min(missing, int(found[largest]) - 1)
        found[largest] -= taken
        found[-1] += taken
    return tuple((int(t), int(f)) for t, f in zip(tokens, found[:-1], strict=True))
