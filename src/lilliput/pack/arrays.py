"""Arrays as streams of integers, and back, bit for bit.

Codings, by number:

0. integers: one stream, the integers themselves.
1. planes: the lowest byte of each item, then the next of each, and so on, in one stream or several;
   bits of floats are turned left by one before, so that the exponent is not cut.
2. palette: a stream of the bytes of a few values, and one of each item's place among them.
3. sparse: a stream that is 0 where all bits of an item are, else 1; then planes of the others.
4. products: float32 items that are others times a factor, as `products.py` tells: a stream of what
   such items differ by from the product, in units of the last binary digit; then planes of the
   others.
5. multiples: float32 items that are integers times a step: a stream of the integers.
6. constant: items that are all the same: no stream.
7. palettes: a palette for each row, as `palettes.py` tells: a stream of their sizes, one of each
   item's place in its row's, then planes of all their values.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lilliput.core import PackError
from lilliput.pack.header import Entry
from lilliput.pack.multiples import integers_of, reals_of, step_in, step_of
from lilliput.pack.palettes import painted, palettes_of
from lilliput.pack.predict import MOST_TAPS, Kernel
from lilliput.pack.products import (
    Segment,
    divided,
    multiplied,
    read_segments,
    write_segments,
)
from lilliput.pack.stream import Source, Unsigned, decode_stream, encode_streams
from lilliput.pack.tokens import Integers

__all__ = ["CODINGS", "Array", "NamedArray", "array_of", "digest", "encode_arrays", "streams_of"]

Array = npt.NDArray[Any]

INTEGERS, PLANES, PALETTE, SPARSE, PRODUCTS, MULTIPLES, CONSTANT, PALETTES = range(8)
CODINGS = (
    *("integers", "planes", "palette", "sparse"),
    *("products", "multiples", "constant", "palettes"),
)
"""Their names."""
_FEWEST = (1, 1, 2, 2, 2, 1, 0, 3)
"""Streams of each."""
_NATIVE = {"bfloat16": "uint16"}
"""What NumPy, which does not know a type, sees instead."""
_MOST_COLORS = 256
_SAMPLE = 4096
_SPARSE = 0.05
"""Share of zeros from which they are told apart."""
_SHORT = 1 << 14
"""Bytes of planes that are coded in one stream."""


@dataclass(frozen=True, eq=False)
class NamedArray:
    """An array to be packed.

    Args:
        name: Unique in the file.
        values: Of a type that NumPy has; bfloat16 as uint16.
        dtype: One of `DTYPES`.
        step: Real value of an integer's unit; 0 where there is none.
        ranges: Where its bytes go in an unpacked file.
        is_text: Whether pieces of it may repeat.
        segments: Which of its items are others times a factor, where that is known.
    """

    name: str
    values: Array
    dtype: str
    step: float = 0.0
    ranges: tuple[tuple[int, int], ...] = ()
    is_text: bool = False
    segments: tuple[Segment, ...] = ()


def digest(values: Array) -> bytes:
    """The first 8 bytes of the SHA-256 of an array's bytes, the lowest of each item first."""
    return hashlib.sha256(_little(values).data).digest()[:8]


def _little(values: Array) -> Array:
    """The lowest byte of each item first."""
    return np.ascontiguousarray(values, values.dtype.newbyteorder("<"))


def encode_arrays(
    arrays: Sequence[NamedArray], is_smallest: bool = False
) -> tuple[list[Entry], list[list[list[bytes]]]]:
    """Entries for the header, and the blocks of each stream of each.

    Args:
        arrays: In order.
        is_smallest: Whether each block may take long to be shorter.
    """
    parts = [_parts(array) for array in arrays]
    coded = encode_streams([source for _, _, sources in parts for source in sources], is_smallest)
    entries, payloads, at = [], [], 0
    for array, (coding, settings, sources) in zip(arrays, parts, strict=True):
        own = coded[at : at + len(sources)]
        at += len(sources)
        streams = tuple(stream for stream, _ in own)
        entries.append(
            Entry(
                array.name,
                array.dtype,
                tuple(array.values.shape),
                coding,
                settings,
                streams,
                digest(array.values),
                array.step,
                array.ranges,
            )
        )
        payloads.append([blocks for _, blocks in own])
    return entries, payloads


def _parts(array: NamedArray) -> tuple[int, bytes, list[Source]]:
    """How an array is coded, the coding's settings, and its streams."""
    flat = np.ascontiguousarray(array.values).reshape(-1)
    items = flat.view(f"u{flat.itemsize}")
    if len(items) and (items == items[0]).all():
        return CONSTANT, _little(items[:1]).tobytes(), []
    return _varied(array, flat, items)


def _varied(array: NamedArray, flat: Array, items: Array) -> tuple[int, bytes, list[Source]]:
    """Of an array whose items are not all the same."""
    values = array.values
    columns = _columns(values.shape)
    if values.dtype.kind in "iub" and values.itemsize <= 4 and array.dtype != "bfloat16":
        width = values.itemsize
        kernels = _kernels(values.shape)
        source = Source(_signed(flat), width, columns, array.is_text, kernels)
        return INTEGERS, b"", [source]
    if array.segments:
        settings = write_segments(array.segments)
        return PRODUCTS, settings, _product_parts(flat, array.segments)
    if array.dtype == "float32" and (step := step_of(flat)) is not None:
        whole = integers_of(flat, step)
        kernels = _kernels(values.shape)
        return MULTIPLES, step.tobytes(), [Source(whole, 2, columns, kernels=kernels)]
    colors = _colors(items)
    if colors is not None:
        places = np.searchsorted(colors, items).astype(np.int32)
        return PALETTE, b"", [_plain(colors.view(np.uint8)), Source(places, 1, columns)]
    is_float = values.dtype.kind == "f" or array.dtype == "bfloat16"
    return _of_bytes(items, is_float, columns)


def _of_bytes(items: Array, is_float: bool, columns: int) -> tuple[int, bytes, list[Source]]:
    """Of an array whose items are bytes, or rows of few values."""
    found = palettes_of(items, len(items) // columns) if is_float and columns else None
    if found is not None:
        sizes, colors, places = found
        parts = [Source(sizes, 2), Source(places, 1, columns)]
        return PALETTES, b"", [*parts, *_planes(colors, is_float, 0)]
    zeros = items == 0
    if is_float and np.count_nonzero(zeros) > _SPARSE * len(items):
        mask = Source((~zeros).astype(np.int32), 1, columns)
        return SPARSE, b"", [mask, *_planes(items[~zeros], is_float, 0)]
    return PLANES, b"", _planes(items, is_float, columns)


def _product_parts(flat: Array, segments: Sequence[Segment]) -> list[Source]:
    differences, others = divided(segments, flat.view(np.uint32))
    return [Source(differences, 4), *_planes(others, is_float=True, columns=0)]


def _columns(shape: tuple[int, ...]) -> int:
    """Integers in a row: all of a channel."""
    if len(shape) < 2:
        return 0
    # depthwise filters of LiteRT have their channels last
    return shape[-1] if shape[0] == 1 else math.prod(shape[1:])


def _kernels(shape: tuple[int, ...]) -> tuple[Kernel, ...]:
    """Where the taps of a convolution's filters may be: its last axes, or those in the middle."""
    if len(shape) < 3 or math.prod(shape) == 0:
        return ()
    inner, middle = math.prod(shape[2:]), math.prod(shape[1:-1])
    both = Kernel(inner), Kernel(middle, shape[-1])
    return tuple(kernel for kernel in both if 1 < kernel.taps <= MOST_TAPS)


def _signed(flat: Array) -> npt.NDArray[np.int32]:
    if flat.dtype == np.uint32:
        return flat.view(np.int32)
    return flat.astype(np.int32)


def _plain(raw: npt.NDArray[np.uint8]) -> Source:
    return Source(raw.astype(np.int32), 1)


def _colors(items: Array) -> Array | None:
    """The values there are, where they are few and each occurs often."""
    if not len(items) or len(np.unique(items[:_SAMPLE])) > _MOST_COLORS:
        return None
    found: Array = np.unique(items)
    return found if len(found) <= min(_MOST_COLORS, len(items) // 8) else None


def _planes(items: Array, is_float: bool, columns: int) -> list[Source]:
    """One stream for each plane; one in all where they are short."""
    size = items.itemsize
    table = _planar(items, is_float)
    if table.size <= _SHORT:
        return [Source(table.reshape(-1), 1, len(items))]
    return [
        Source(np.ascontiguousarray(plane), 1, columns if place == size - 1 else 0)
        for place, plane in enumerate(table)
    ]


def _planar(items: Array, is_float: bool) -> Integers:
    """The bytes of items, of shape (bytes of an item, items)."""
    size = items.itemsize
    if is_float:
        items = (items << 1) | (items >> (8 * size - 1))
    return _little(items).view(np.uint8).reshape(-1, size).T.astype(np.int32)


def streams_of(entry: Entry, values: Array) -> list[Integers]:
    """The integers of an entry's streams, of which `array_of` makes these values.

    Raises:
        PackError: The entry says streams that such values have not.
    """
    flat = np.ascontiguousarray(values).reshape(-1)
    items, coding = flat.view(f"u{flat.itemsize}"), entry.coding
    is_float = "float" in entry.dtype
    found: list[Integers] = []
    if coding == INTEGERS:
        found = [_signed(flat)]
    elif coding == PALETTE:
        colors = np.unique(items)
        bytes_ = _little(colors).view(np.uint8).astype(np.int32)
        found = [bytes_, np.searchsorted(colors, items).astype(np.int32)]
    elif coding == SPARSE:
        found = [(items != 0).astype(np.int32), _planar(items[items != 0], is_float).reshape(-1)]
    elif coding == PRODUCTS and flat.dtype == np.float32:
        segments = read_segments(entry.settings, f"tensor {entry.name!r}")
        differences, others = divided(segments, items)
        found = [differences, _planar(others, is_float).reshape(-1)]
    elif coding == MULTIPLES and (step := step_in(entry.settings)) and flat.dtype == np.float32:
        with np.errstate(all="ignore"):
            found = [integers_of(flat, step)]
    elif coding == PALETTES and (parts := palettes_of(items, entry.streams[0].count)):
        sizes, colors, places = parts
        found = [sizes, places, _planar(colors, is_float).reshape(-1)]
    elif coding == PLANES:
        found = [_planar(items, is_float).reshape(-1)]
    counts = [stream.count for stream in entry.streams]
    if coding in {SPARSE, PRODUCTS, PALETTES, PLANES} and found and len(counts) >= len(found):
        ends = np.cumsum(counts[len(found) - 1 : -1])
        found[-1:] = np.split(found[-1], ends)
    if [len(one) for one in found] != counts:
        raise PackError(f"tensor {entry.name!r} has streams that its values do not make")
    return found


def array_of(entry: Entry, blocks: Sequence[Sequence[bytes]], name: str) -> Array:
    """The array of an entry.

    Args:
        entry: Of the header.
        blocks: Of each of its streams.
        name: The file's, for errors.

    Raises:
        PackError: It is damaged, and which block, or its digest is another.
    """
    what = f"tensor {entry.name!r} in {name}"
    dtype = np.dtype(_NATIVE.get(entry.dtype, entry.dtype))
    count = entry.items
    if sum(stream.count for stream in entry.streams) > (dtype.itemsize + 1) * count + (1 << 16):
        raise PackError(f"{what} has more integers than its shape has room for")
    streams = [
        decode_stream(stream, own, f"stream {place} of {what}")
        for place, (stream, own) in enumerate(zip(entry.streams, blocks, strict=True))
    ]
    flat = _joined(entry, streams, dtype, what)
    if flat.size != count:
        raise PackError(f"{what} has {flat.size:,} items where its shape has {count:,}")
    found = flat.view(dtype).reshape(entry.shape)
    if digest(found) != entry.digest:
        raise PackError(f"{what} is damaged: the digest of its integers is another")
    return found


def _joined(entry: Entry, streams: Sequence[Unsigned], dtype: np.dtype[Any], what: str) -> Array:
    """The items of an array, in order, as integers without a sign."""
    size, coding = dtype.itemsize, entry.coding
    if coding >= len(CODINGS) or len(streams) < _FEWEST[coding]:
        raise PackError(f"{what} is coded in a way that is not known: {coding}")
    unsigned = np.dtype(f"u{size}")
    if coding == CONSTANT:
        return _constant(entry, streams, unsigned, what)
    if coding == INTEGERS:
        return streams[0].astype(unsigned, copy=False)
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
        return _filled(streams[0].astype(bool), items, what)
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


def _filled(is_other: npt.NDArray[np.bool_], others: Array, what: str) -> Array:
    if np.count_nonzero(is_other) != len(others):
        raise PackError(f"{what} has {len(others):,} items that its mask does not say")
    items = np.zeros(len(is_other), others.dtype)
    items[is_other] = others
    return items
