"""Weights in few bits, as `kernels/packed.c` reads them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lilliput.export.format import Array

__all__ = ["Codes", "codes_of_all", "codes_of_others"]


@dataclass(frozen=True, eq=False)
class Codes:
    """Constants and numbers of a `struct packed`.

    Args:
        arrays: `codes`, `gaps` and `palette`, those that there are.
        settings: `code_bits`, and `gap_bits` where there are gaps.
    """

    arrays: Mapping[str, Array]
    settings: Mapping[str, int]

    @property
    def size(self) -> int:
        """Bytes of the constants."""
        return sum(array.nbytes for array in self.arrays.values())


def codes_of_all(parts: Sequence[Array]) -> Codes | None:
    """What takes fewest bytes with a code for each weight; None for more than sixteen values.

    Args:
        parts: int8 weights that are unpacked at once, four by four.
    """
    return min(_for_all(parts), key=lambda codes: codes.size, default=None)


def codes_of_others(weights: Array) -> Codes:
    """What takes fewest bytes with codes for weights that are not zero, and gaps between them.

    Args:
        weights: int8, in the order in which they are read.
    """
    return min(_with_gaps(weights), key=lambda codes: codes.size)


def _for_all(parts: Sequence[Array]) -> Iterator[Codes]:
    whole = np.concatenate(parts)
    if whole.min() >= -8 and whole.max() < 8:
        codes = [part.astype(np.uint8) & 15 for part in parts]
        yield Codes({"codes": _spread(codes, 4)}, {"code_bits": 4})
    palette = np.unique(whole)
    for bits in (2, 4):
        if len(palette) <= 1 << bits:
            places = [np.searchsorted(palette, part) for part in parts]
            arrays = {"codes": _spread(places, bits), "palette": palette}
            yield Codes(arrays, {"code_bits": bits})


def _with_gaps(whole: Array) -> Iterator[Codes]:
    weights = whole[whole != 0]
    palette = np.unique(weights)
    arrays, code_bits = {"codes": _in_words(weights.view(np.uint8), 8)}, 8
    for bits in (4, 2):
        if len(palette) <= 1 << bits:
            codes = _in_words(np.searchsorted(palette, weights), bits)
            arrays, code_bits = {"codes": codes, "palette": palette}, bits
    if not len(weights):
        arrays = {}
    for bits in (1, 2, 4, 8):
        gaps = _in_words(_gaps(whole, (1 << bits) - 1), bits)
        settings = {"code_bits": code_bits, "gap_bits": bits}
        yield Codes({**arrays, "gaps": gaps}, settings)


def _gaps(whole: Array, most: int) -> Array:
    """Zeros before each weight, and behind the last one, in numbers up to `most`."""
    ends = np.append(np.flatnonzero(whole), len(whole))
    zeros = np.diff(ends, prepend=-1) - 1
    counts = zeros // most + 1
    gaps = np.full(counts.sum(), most)
    gaps[np.cumsum(counts) - 1] = zeros % most
    return gaps


def _in_words(codes: Array, bits: int) -> Array:
    """One after the other, from the lowest bits of a word."""
    each = 32 // bits
    rows = np.pad(codes.astype(np.uint32), (0, -len(codes) % each)).reshape(-1, each)
    return _together(rows, bits * np.arange(each))


def _spread(parts: Sequence[Array], bits: int) -> Array:
    """The lowest bits of the four bytes of a word, then the next ones; each part begins a word."""
    each = 8 // bits
    rows = [np.pad(part.astype(np.uint32), (0, -len(part) % (4 * each))) for part in parts]
    places = bits * np.arange(each)[:, None] + 8 * np.arange(4)
    return _together(np.concatenate(rows).reshape(-1, 4 * each), places.reshape(-1))


def _together(rows: Array, places: Array) -> Array:
    """Words of the codes in each row, at their places in bits."""
    return np.asarray(np.bitwise_or.reduce(rows << places.astype(np.uint32), axis=1), np.uint32)
