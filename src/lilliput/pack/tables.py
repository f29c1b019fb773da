"""Frequencies of tokens, and how a block says them.

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

__all__ = [
    "TOTAL",
    "Counts",
    "Listed",
    "Shaped",
    "Table",
    "bank",
    "read_table",
    "shared",
    "write_table",
]

TOTAL = 1 << 12
"""What frequencies add up to."""

Counts = npt.NDArray[np.int64]


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
        if is_free.any():
            rest = np.array([TOTAL - int(found.sum())])
            found += shared(bank(alphabet)[self.shape, self.scale][None], is_free[None], rest)[0]
        return found


Table = Listed | Shaped


def shared(mass: Counts, is_free: npt.NDArray[np.bool_], rest: Counts) -> Counts:
    """Shares of wholes in proportion to masses; none of what is free is 0.

    Args:
        mass: Of each token, table by table.
        is_free: Whose shares they are; one at least in each table.
        rest: What is shared in each table.
    """
    left = (rest - is_free.sum(1))[:, None]
    mass = np.where(is_free, mass, 0)
    excess = np.maximum(mass * rest[:, None] - mass.sum(1, keepdims=True), 0)
    sums = np.cumsum(np.where(is_free, excess, 0), 1)
    whole = sums[:, -1:]
    # where all have nothing, the first has it all
    ends = np.where(whole > 0, sums * left // np.maximum(whole, 1), left * (is_free.cumsum(1) > 0))
    return np.where(is_free, 1 + np.diff(ends, axis=1, prepend=0), 0)


def write_table(out: FieldWriter, table: Table) -> None:
    """Says a table; the first number is 0 for a list, or 1 and more for a shape."""
    match table:
        case Listed(pairs):
            out.number(0)
        case Shaped(shape, scale, limit, pairs):
            out.numbers((shape + 1, scale, limit))
    numbers, before = [len(pairs)], -1
    for token, frequency in pairs:
        numbers += (token - before - 1, frequency - 1)
        before = token
    out.numbers(numbers)


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


def bank(alphabet: Alphabet) -> Counts:
    """The masses of every shape and scale; those of direct tokens are the same in any alphabet."""
    way = (alphabet.direct, alphabet.steps) if alphabet.classes else (ALPHABET, 0)
    return _whole_bank(*way)[..., : alphabet.size]


@lru_cache(16)
def _whole_bank(direct: int, steps: int) -> Counts:
    classes = min((32 - steps) << steps, ALPHABET - direct)
    alphabet = Alphabet(direct, steps, classes)
    return masses(alphabet, np.arange(SHAPES)[:, None], np.arange(SCALES))
