"""Arrays as streams of integers, in the coding of each that takes the fewest bytes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lilliput.core import PackError
from lilliput.pack.codings import (
    BYTES,
    CONSTANT,
    COPY,
    INTEGERS,
    MULTIPLES,
    PALETTE,
    PALETTES,
    PLANES,
    PRODUCTS,
    SPARSE,
    Array,
    digest,
    little,
)
from lilliput.pack.fields import FieldWriter
from lilliput.pack.header import Entry, Stream
from lilliput.pack.multiples import integers_of, step_in, step_of
from lilliput.pack.palettes import palettes_of
from lilliput.pack.predict import MOST_TAPS, Kernel
from lilliput.pack.products import Segment, divided, read_segments, write_segments
from lilliput.pack.squeeze import is_likely_squeezed
from lilliput.pack.stream import Source, encode_streams
from lilliput.pack.tokens import Integers

__all__ = ["NamedArray", "encode_arrays", "streams_of"]

_FEWEST_BYTES = 32
"""Of an array that is not said twice."""
_MOST_COLORS = 256
_ITEMS_OF_A_COLOR = 8
"""That are not zero, at least: zeros alone are told in fewer bits."""
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


@dataclass(frozen=True, eq=False)
class _Form:
    """An array as it is coded.

    Args:
        coding: One of `codings.py`.
        settings: Of it.
        streams: What the header says of each, and its blocks.
    """

    coding: int
    settings: bytes
    streams: tuple[tuple[Stream, list[bytes]], ...] = ()

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.settings) + sum(len(block) for _, own in self.streams for block in own)


def encode_arrays(
    arrays: Sequence[NamedArray], is_smallest: bool = False
) -> tuple[list[Entry], list[list[list[bytes]]]]:
    """Entries for the header, and the blocks of each stream of each.

    Args:
        arrays: In order.
        is_smallest: Whether each block may take long to be shorter.
    """
    digests = [digest(array.values) for array in arrays]
    firsts = _firsts(arrays, digests)
    own = [array for array, first in zip(arrays, firsts, strict=True) if first is None]
    forms = iter(_shortest(own, is_smallest))
    entries: list[Entry] = []
    payloads = []
    for array, first, found in zip(arrays, firsts, digests, strict=True):
        form = next(forms) if first is None else _Form(COPY, _number(first))
        entries.append(
            Entry(
                array.name,
                array.dtype,
                tuple(array.values.shape),
                form.coding,
                form.settings,
                tuple(stream for stream, _ in form.streams),
                found,
                array.step,
                array.ranges,
                None if first is None else entries[first],
            )
        )
        payloads.append([blocks for _, blocks in form.streams])
    return entries, payloads


def _number(place: int) -> bytes:
    out = FieldWriter()
    out.number(place)
    return bytes(out.data)


def _firsts(arrays: Sequence[NamedArray], digests: Sequence[bytes]) -> list[int | None]:
    """The place of an earlier array with the same items, where there is one."""
    found: list[int | None] = []
    known: dict[tuple[str, bytes], int] = {}
    for place, (array, own) in enumerate(zip(arrays, digests, strict=True)):
        first = None
        if array.values.nbytes >= _FEWEST_BYTES and not _is_constant(_items(array)):
            first = known.setdefault((array.dtype, own), place)
            if first == place or not np.array_equal(_items(arrays[first]), _items(array)):
                first = None
        found.append(first)
    return found


def _shortest(arrays: Sequence[NamedArray], is_smallest: bool) -> list[_Form]:
    """The form of each array that takes the fewest bytes."""
    parts = [_parts(array) for array in arrays]
    whole = iter(encode_streams([one for *_, own in parts for one in own], is_smallest))
    forms = [
        _Form(coding, settings, tuple(next(whole) for _ in own)) for coding, settings, own in parts
    ]
    raws = {
        place: _raw(array)
        for place, (array, form) in enumerate(zip(arrays, forms, strict=True))
        if not array.step and not (array.is_text and form.coding == INTEGERS) and form.streams
    }
    raws = {
        place: raw
        for place, raw in raws.items()
        if is_smallest or is_likely_squeezed(raw, forms[place].size)
    }
    sources = [Source(raw.astype(np.int32), 1, is_text=True) for raw in raws.values()]
    for place, coded in zip(raws, encode_streams(sources), strict=True):
        other = _Form(BYTES, b"", (coded,))
        forms[place] = other if other.size < forms[place].size else forms[place]
    return forms


def _items(array: NamedArray) -> Array:
    """One axis of bits."""
    flat = np.ascontiguousarray(array.values).reshape(-1)
    return flat.view(f"u{flat.itemsize}")


def _raw(array: NamedArray) -> npt.NDArray[np.uint8]:
    """The bytes of an array."""
    return little(_items(array)).view(np.uint8)


def _is_constant(items: Array) -> bool:
    return bool(len(items) and (items == items[0]).all())


def _parts(array: NamedArray) -> tuple[int, bytes, list[Source]]:
    """How an array is coded, the coding's settings, and its streams."""
    items = _items(array)
    if _is_constant(items):
        return CONSTANT, little(items[:1]).tobytes(), []
    return _varied(array, np.ascontiguousarray(array.values).reshape(-1), items)


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
    if is_float:
        marks = _marks(items)
        if np.count_nonzero(marks != 1) > _SPARSE * len(items):
            parts = [Source(marks, 1, columns), *_planes(items[marks == 1], is_float, 0)]
            return SPARSE, b"", parts
    return PLANES, b"", _planes(items, is_float, columns)


def _marks(items: Array) -> Integers:
    """0 for a zero, 2 for one below zero, 1 for all other floats."""
    sign = items.dtype.type(1 << (8 * items.itemsize - 1))
    return np.where(items == 0, 0, np.where(items == sign, 2, 1)).astype(np.int32)


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
    most = min(_MOST_COLORS, 1 + int(np.count_nonzero(items)) // _ITEMS_OF_A_COLOR)
    return found if len(found) <= most else None


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
    return little(items).view(np.uint8).reshape(-1, size).T.astype(np.int32)


def streams_of(entry: Entry, values: Array) -> list[Integers]:
    """The integers of an entry's streams, of which `array_of` makes these values.

    Raises:
        PackError: The entry says streams that such values have not.
    """
    flat = np.ascontiguousarray(values).reshape(-1)
    items, coding = flat.view(f"u{flat.itemsize}"), entry.coding
    is_float = "float" in entry.dtype
    found: list[Integers] = []
    if coding in {INTEGERS, BYTES}:
        found = [_signed(flat) if coding == INTEGERS else _signed(little(items).view(np.uint8))]
    elif coding == PALETTE:
        colors = np.unique(items)
        bytes_ = little(colors).view(np.uint8).astype(np.int32)
        found = [bytes_, np.searchsorted(colors, items).astype(np.int32)]
    elif coding == SPARSE:
        marks = _marks(items)
        found = [marks, _planar(items[marks == 1], is_float).reshape(-1)]
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
