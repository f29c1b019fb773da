"""Integers as tokens of a small alphabet, and raw bits where they are far from the middle.

An integer's distance from the middle is folded, 0, -1, 1, -2, 2 to 0, 1, 2, 3, 4. Folded numbers
below `direct` are tokens themselves; above, a token has the leading binary digits of a number, and
says how many follow.

Source: Elias 1975, "Universal codeword sets", for the bits that follow their number.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

__all__ = ["ALPHABET", "Alphabet", "Integers", "Words", "chunks", "fold", "unfold"]

Integers = npt.NDArray[np.int32]
Words = npt.NDArray[np.uint32]
_LISTED = 1 << 12
"""Numbers below are looked up where there are more of them."""
_CHUNK = 12
"""Raw bits that are coded at once."""

ALPHABET = 256
"""Tokens at most, so that one is a byte."""


def fold(values: Integers, middle: int) -> Words:
    """Distances from the middle, sign last; all in 32 bits, which wrap."""
    distance = (values.view(np.uint32) - np.uint32(middle & 0xFFFFFFFF)).view(np.int32)
    folded: Words = ((distance << 1) ^ (distance >> 31)).view(np.uint32)
    return folded


def unfold(folded: Words, middle: int) -> Integers:
    """The integers again."""
    distance = (folded >> np.uint32(1)) ^ (np.uint32(0) - (folded & np.uint32(1)))
    return (distance + np.uint32(middle & 0xFFFFFFFF)).view(np.int32)


def chunks(bits: Words) -> tuple[Words, npt.NDArray[np.intp], Words]:
    """Sizes of pieces of numbers of so many bits, whose they are, and where in them they are."""
    pieces = ((bits + np.uint32(_CHUNK - 1)) // np.uint32(_CHUNK)).astype(np.intp)
    owners = np.repeat(np.arange(len(bits)), pieces)
    first = np.repeat(np.cumsum(pieces) - pieces, pieces)
    shifts = ((np.arange(len(owners)) - first) * _CHUNK).astype(np.uint32)
    return np.minimum(bits[owners] - shifts, np.uint32(_CHUNK)), owners, shifts


@dataclass(frozen=True)
class Alphabet:
    """Which folded number is which token.

    Args:
        direct: Numbers below are their own token, 1 to 256.
        steps: Numbers above have 2^steps tokens for each doubling of their distance, 0 to 3.
        classes: Tokens for those above; with the others at most 256.
    """

    direct: int
    steps: int = 0
    classes: int = 0

    @classmethod
    def holding(cls, direct: int, steps: int, largest: int) -> "Alphabet":
        """The alphabet that ends with the largest folded number."""
        if largest < direct:
            return cls(largest + 1)
        excess = largest - direct + (1 << steps)
        bits = excess.bit_length() - 1 - steps
        return cls(direct, steps, (bits << steps) + (excess >> bits) - (1 << steps) + 1)

    @property
    def size(self) -> int:
        """Tokens there are."""
        return self.direct + self.classes

    @cached_property
    def bits(self) -> Words:
        """Raw bits that follow each token."""
        places = np.maximum(np.arange(self.size) - self.direct, 0)
        return (places >> self.steps).astype(np.uint32)

    @cached_property
    def lows(self) -> npt.NDArray[np.int64]:
        """The smallest folded number of each class, and where the last one ends."""
        places = np.arange(self.classes + 1)
        first = 1 << self.steps
        lead = first + (places & (first - 1))
        return self.direct - first + (lead << (places >> self.steps))

    @cached_property
    def bases(self) -> Words:
        """The smallest folded number of each token."""
        return np.concatenate([np.arange(self.direct), self.lows[:-1]]).astype(np.uint32)

    def tokens(self, folded: Words) -> npt.NDArray[np.uint8]:
        """The token of each number."""
        if not self.classes:
            return folded.astype(np.uint8)
        if folded.size > _LISTED > int(folded.max()):
            return _listed(self.direct, self.steps).take(folded)
        far = folded >= self.direct
        found = np.minimum(folded, self.direct).astype(np.uint8)
        excess = folded[far].astype(np.int64) + ((1 << self.steps) - self.direct)
        bits = np.frexp(excess.astype(np.float64))[1] - 1 - self.steps  # exact: 33 bits fit
        found[far] = self.direct + (bits << self.steps) + (excess >> bits) - (1 << self.steps)
        return found


@lru_cache(16)
def _listed(direct: int, steps: int) -> npt.NDArray[np.uint8]:
    """The tokens of the smallest numbers, in any alphabet that has them."""
    return Alphabet(direct, steps, 1).tokens(np.arange(_LISTED, dtype=np.uint32))
