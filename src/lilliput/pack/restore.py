"""Arrays of their streams of integers again, bit for bit."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lilliput.core import PackError
from lilliput.pack.codings import (
    BYTES,
    CODINGS,
    CONSTANT,
    FEWEST,
    INTEGERS,
    MULTIPLES,
    NATIVE,
    PALETTE,
    PALETTES,
    PLANES,
    SPARSE,
    Array,
    digest,
)
from lilliput.pack.header import Entry
from lilliput.pack.multiples import reals_of, step_in
from lilliput.pack.palettes import painted
from lilliput.pack.products import multiplied, read_segments
from lilliput.pack.stream import Unsigned, decode_stream

__all__ = ["array_of", "joined"]


def array_of(entry: Entry, blocks: Sequence[Sequence[bytes]], name: str) -> Array:
    """The array of an entry.

    Args:
        entry: Of the header.
        blocks: Of each of its streams; of a copy, those of the array that it is a copy of.
        name: The file's, for errors.

    Raises:
        PackError: It is damaged, and which block, or its digest is another.
    """
    what = f"tensor {entry.name!r} in {name}"
    dtype = np.dtype(NATIVE.get(entry.dtype, entry.dtype))
    count = entry.items
    made = entry.origin or entry
    if sum(stream.count for stream in made.streams) > (dtype.itemsize + 1) * count + (1 << 16):
        raise PackError(f"{what} has more integers than its shape has room for")
    streams = [
        decode_stream(stream, own, f"stream {place} of {what}")
        for place, (stream, own) in enumerate(zip(made.streams, blocks, strict=True))
    ]
    flat = joined(made, streams, dtype, what)
    if flat.size != count:
        raise PackError(f"{what} has {flat.size:,} items where its shape has {count:,}")
    found = flat.view(dtype).reshape(entry.shape)
    if digest(found) != entry.digest:
        raise PackError(f"{what} is damaged: the digest of its integers is another")
    return found


def joined(entry: Entry, streams: Sequence[Unsigned], dtype: np.dtype[Any], what: str) -> Array:
    """The items of an array, in order, as integers without a sign."""
    size, coding = dtype.itemsize, entry.coding
    if coding >= len(CODINGS) or len(streams) < FEWEST[coding]:
        raise PackError(f"{what} is coded in a way that is not known: {coding}")
    unsigned = np.dtype(f"u{size}")
    if coding == CONSTANT:
        return _constant(entry, streams, unsigned, what)
    if coding == INTEGERS:
        return streams[0].astype(unsigned, copy=False)
    if coding == BYTES:
        return _of_bytes(streams[0], unsigned, what)
    if coding == PALETTE:
        raw = streams[0].astype(np.uint8)
        colors = raw[: len(raw) // size * size].view(unsigned.newbyteorder("<")).astype(unsigned)
        places = streams[1]
        if places.size and places.max() >= len(colors):
            raise PackError(f"{what} has a place that its palette has not")
        return colors[places]
    if coding == MULTIPLES:
        return _multiples(entry, streams[0], what)
    return _of_planes(entry, streams, unsigned, what)


def _of_bytes(stream: Unsigned, unsigned: np.dtype[Any], what: str) -> Array:
    if stream.itemsize != 1 or len(stream) % unsigned.itemsize:
        raise PackError(f"{what} has {len(stream):,} bytes, which are no whole items")
    return stream.view(unsigned.newbyteorder("<")).astype(unsigned, copy=False)


def _of_planes(
    entry: Entry, streams: Sequence[Unsigned], unsigned: np.dtype[Any], what: str
) -> Array:
    """Of codings in which bytes of items lie apart."""
    first = {PLANES: 0, PALETTES: 2}.get(entry.coding, 1)
    items = _together(np.concatenate(streams[first:]), unsigned, "float" in entry.dtype, what)
    if entry.coding == PLANES:
        return items
    if entry.coding == PALETTES:
        return painted(streams[0], items, streams[1], what)
    if entry.coding == SPARSE:
        return _filled(streams[0], items, what)
    if entry.dtype != "float32":
        raise PackError(f"{what} has products, which {entry.dtype} has not")
    differences = streams[0].astype(np.uint32).view(np.int32)
    return multiplied(read_segments(entry.settings, what), items, differences, what)


def _constant(
    entry: Entry, streams: Sequence[Unsigned], unsigned: np.dtype[Any], what: str
) -> Array:
    if streams or len(entry.settings) != unsigned.itemsize:
        raise PackError(f"{what} is all one item, and does not say which")
    item = np.frombuffer(entry.settings, unsigned.newbyteorder("<")).astype(unsigned)
    return np.repeat(item, entry.items)


def _multiples(entry: Entry, stream: Unsigned, what: str) -> Array:
    step = step_in(entry.settings)
    if entry.dtype != "float32" or step is None or stream.itemsize != 2:
        raise PackError(f"{what} has multiples of a step that is not there")
    return reals_of(stream.view(np.int16).astype(np.int32), step).view(np.uint32)


def _together(planes: Unsigned, unsigned: np.dtype[Any], is_float: bool, what: str) -> Array:
    """Items of their planes."""
    size = unsigned.itemsize
    if len(planes) % size:
        raise PackError(f"{what} has planes of different lengths")
    table = np.ascontiguousarray(planes.astype(np.uint8, copy=False).reshape(size, -1).T)
    items: Array = table.reshape(-1).view(unsigned.newbyteorder("<")).astype(unsigned)
    if is_float:
        items = (items >> 1) | (items << (8 * size - 1))
    return items


def _filled(marks: Unsigned, others: Array, what: str) -> Array:
    is_other = marks == 1
    if np.count_nonzero(is_other) != len(others) or (len(marks) and marks.max() > 2):
        raise PackError(f"{what} has {len(others):,} items that its mask does not say")
    items = np.zeros(len(marks), others.dtype)
    items[is_other] = others
    items[marks == 2] = others.dtype.type(1 << (8 * others.itemsize - 1))
    return items
