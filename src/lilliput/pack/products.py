"""Vectors of floats that are other vectors times one factor.

Quantized files are full of them: a bias' scales are those of the weights times the input's, the
largest weight of a channel is 127 of its scale. What is left is a unit or two in the last place.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lilliput.core import PackError
from lilliput.pack.fields import FieldReader, FieldWriter
from lilliput.pack.tokens import Words

__all__ = ["Segment", "divided", "multiplied", "read_segments", "segments_of", "write_segments"]

Floats = npt.NDArray[np.float32]

_SHORTEST = 4
_LOOKED_AT = 24
"""Vectors before that are compared."""
_CLOSE = 4
"""Units in the last place that still count as a product."""
_ENOUGH = 0.4
"""Share of a vector that must be products."""


@dataclass(frozen=True)
class Segment:
    """Neighbours in an array.

    Args:
        length: How many.
        source: Where what they are products of begins in the array; None where they are none.
        factor: The bits of a float32.
    """

    length: int
    source: int | None = None
    factor: int = 0


def segments_of(vectors: Sequence[Floats]) -> tuple[Segment, ...]:
    """Says of each vector which one before it, if any, it is a product of.

    Args:
        vectors: In the order in which they lie side by side.
    """
    found: list[Segment] = []
    known: dict[int, list[tuple[int, Floats]]] = {}
    at = 0
    for vector in vectors:
        before = known.setdefault(len(vector), [])
        found.append(_segment(vector, before[-_LOOKED_AT:]))
        before.append((at, vector))
        at += len(vector)
    return tuple(found)


def _segment(vector: Floats, before: Sequence[tuple[int, Floats]]) -> Segment:
    best, most = Segment(len(vector)), _ENOUGH * len(vector)
    if len(vector) < _SHORTEST:
        return best
    for start, other in before:
        factor = _commonest_ratio(vector, other)
        close = np.abs(_differences(vector, other, factor).astype(np.int64)) <= _CLOSE
        count = np.count_nonzero(close)
        if count > most:
            best = Segment(len(vector), start, int(factor.view(np.uint32)))
            most = float(count)
    return best


def _commonest_ratio(vector: Floats, other: Floats) -> np.float32:
    """What most items of a vector are times those of the other, nearly."""
    with np.errstate(all="ignore"):
        ratios = vector.astype(np.float64) / other
    ratios = np.sort(ratios[np.isfinite(ratios)])
    if not len(ratios):
        return np.float32(0)
    ends = np.searchsorted(ratios, ratios + np.abs(ratios) * 2.0**-21, "right")
    first = int(np.argmax(ends - np.arange(len(ratios))))
    with np.errstate(over="ignore"):
        return np.float32(np.median(ratios[first : ends[first]]))


def _differences(vector: Floats, other: Floats, factor: np.float32) -> npt.NDArray[np.int32]:
    return (vector.view(np.uint32) - _product(other, factor)).view(np.int32)


def _product(other: Floats, factor: np.float32) -> Words:
    """Bits of the products, rounded once: those of two floats are exact as doubles."""
    with np.errstate(all="ignore"):
        product = other.astype(np.float64) * np.float64(factor)
        return product.astype(np.float32).view(np.uint32)


def divided(segments: Sequence[Segment], items: Words) -> tuple[npt.NDArray[np.int32], Words]:
    """What products differ by, and the bits of items that are none."""
    differences, others, at = [np.zeros(0, np.int32)], [np.zeros(0, np.uint32)], 0
    for segment in segments:
        own = items[at : at + segment.length]
        if segment.source is None:
            others.append(own)
        else:
            other = items[segment.source : segment.source + segment.length]
            product = _product(other.view(np.float32), _float(segment.factor))
            differences.append((own - product).view(np.int32))
        at += segment.length
    return np.concatenate(differences), np.concatenate(others)


def multiplied(
    segments: Sequence[Segment], others: Words, differences: npt.NDArray[np.int32], what: str
) -> Words:
    """The items again.

    Raises:
        PackError: The segments are of other lengths than what is given.
    """
    products = sum(segment.length for segment in segments if segment.source is not None)
    rest = sum(segment.length for segment in segments if segment.source is None)
    if products != len(differences) or rest != len(others):
        raise PackError(f"{what} has segments that are not as long as what is in them")
    items = np.zeros(products + rest, np.uint32)
    at = done = plain = 0
    for segment in segments:
        end = at + segment.length
        if segment.source is None:
            items[at:end] = others[plain : plain + segment.length]
            plain += segment.length
        else:
            if segment.source + segment.length > at:
                raise PackError(f"{what} has a product of what comes after it")
            other = items[segment.source : segment.source + segment.length].view(np.float32)
            own = differences[done : done + segment.length].view(np.uint32)
            items[at:end] = _product(other, _float(segment.factor)) + own
            done += segment.length
        at = end
    return items


def _float(bits: int) -> np.float32:
    return np.uint32(bits).view(np.float32)


def write_segments(segments: Sequence[Segment]) -> bytes:
    """Length, then 0 or the source and 1, then the factor of each; nothing where there is none."""
    out = FieldWriter()
    for segment in segments:
        out.number(segment.length)
        out.number(0 if segment.source is None else segment.source + 1)
        if segment.source is not None:
            out.data += segment.factor.to_bytes(4, "little")
    return bytes(out.data)


def read_segments(data: bytes, what: str) -> list[Segment]:
    """The segments of an entry's settings.

    Raises:
        PackError: They are cut off.
    """
    return list(_read(FieldReader(data, what)))


def _read(fields: FieldReader) -> Iterator[Segment]:
    while fields.at < len(fields.data):
        length = fields.number(1 << 48)
        source = fields.number(1 << 48)
        if not source:
            yield Segment(length)
        else:
            yield Segment(length, source - 1, int.from_bytes(fields.take(4), "little"))
