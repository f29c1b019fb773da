"""The header of a packed file: what it holds, tensor by tensor, and where each block is."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

from lilliput.core import PackError
from lilliput.pack.codings import COPY
from lilliput.pack.fields import FieldReader, FieldWriter
from lilliput.pack.framing import framed, unframed

__all__ = [
    "DTYPES",
    "MOST_AXES",
    "MOST_BLOCK",
    "MOST_NAME",
    "MOST_STEP",
    "UPDATE",
    "Block",
    "Contents",
    "Entry",
    "Kind",
    "SourceFile",
    "Stream",
    "parse_header",
    "read_stream_facts",
    "write_header",
    "write_stream",
]

DTYPES = (
    "int8",
    "uint8",
    "int16",
    "uint16",
    "int32",
    "uint32",
    "int64",
    "uint64",
    "float16",
    "bfloat16",
    "float32",
    "float64",
    "bool",
)
_ITEM_BYTES = dict(zip(DTYPES, (1, 1, 2, 2, 4, 4, 8, 8, 2, 2, 4, 8, 1), strict=True))
MOST_BLOCK = 1 << 22
"""Integers in a block, which may take 4 bytes each."""
MOST_STEP = 2.0**64
"""Above what a step can be; times any integer of 32 bits it is a float32."""
MOST_NAME = 4096
"""Bytes of a tensor's name."""
_MOST_TENSORS = 1 << 20
MOST_AXES = 32
_MOST_ITEMS = 1 << 48

Kind = Literal["model", "file"]
_KINDS: tuple[Kind, ...] = ("model", "file")
UPDATE = len(_KINDS)
"""The number of a header that is none of these: `updates/header.py`."""


@dataclass(frozen=True)
class Block:
    """Integers that are decoded together.

    Args:
        count: How many.
        size: Bytes they take in the file.
        checksum: Of those bytes.
    """

    count: int
    size: int
    checksum: int


@dataclass(frozen=True)
class Stream:
    """Integers of one kind, in blocks.

    Args:
        width: Bytes of each when decoded: 1, 2 or 4.
        columns: Integers in a row.
        blocks: In order.
    """

    width: int
    columns: int
    blocks: tuple[Block, ...]

    @property
    def count(self) -> int:
        """Integers in all."""
        return sum(block.count for block in self.blocks)


@dataclass(frozen=True)
class Entry:
    """A tensor.

    Args:
        name: Unique in the file.
        dtype: One of `DTYPES`.
        shape: Sizes of its axes.
        coding: How streams make the tensor, a place in `lilliput.pack.codings.CODINGS`.
        settings: Of the coding.
        streams: What the coding reads.
        digest: First 8 bytes of the SHA-256 of the tensor's bytes.
        step: Real value of an integer's unit; 0 where integers are not quantized reals.
        ranges: Where the bytes go in the unpacked file, each a start and a length.
        origin: The earlier tensor that it is a copy of; it has no blocks of its own then.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    coding: int
    settings: bytes
    streams: tuple[Stream, ...]
    digest: bytes
    step: float = 0.0
    ranges: tuple[tuple[int, int], ...] = ()
    origin: "Entry | None" = None

    @property
    def items(self) -> int:
        """How many there are."""
        return math.prod(self.shape)

    @property
    def size_bytes(self) -> int:
        """Bytes when unpacked."""
        return self.items * _ITEM_BYTES[self.dtype]

    @property
    def stored_bytes(self) -> int:
        """Bytes of its blocks."""
        return sum(block.size for stream in self.streams for block in stream.blocks)

    @property
    def decoded_bytes(self) -> int:
        """Bytes of its integers when decoded, 4 for each, and of itself."""
        return self.size_bytes + sum(4 * stream.count for stream in self.streams)


@dataclass(frozen=True)
class SourceFile:
    """What a file was before it was packed.

    Args:
        name: Without folders.
        size: Bytes.
        sha256: Of its bytes.
    """

    name: str
    size: int
    sha256: bytes


@dataclass(frozen=True)
class Contents:
    """A header.

    Args:
        kind: `model`, a state of named tensors; `file`, any file.
        entries: Tensors in the order of their blocks.
        source: The file; None for a model.
    """

    kind: Kind
    entries: tuple[Entry, ...]
    source: SourceFile | None = field(default=None)

    @property
    def stored_bytes(self) -> int:
        """Bytes of all blocks."""
        return sum(entry.stored_bytes for entry in self.entries)

    @property
    def unpacked_bytes(self) -> int:
        """Bytes that unpacking everything takes, the file itself too."""
        whole = self.source.size if self.source else 0
        return whole + sum(entry.decoded_bytes for entry in self.entries)

    def offset_of(self, entry: Entry) -> int:
        """Where a tensor's blocks begin, from the first block of the file."""
        return self._offsets[(entry.origin or entry).name]

    def entry(self, name: str) -> Entry:
        """A tensor, by its name."""
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> dict[str, Entry]:
        return {entry.name: entry for entry in self.entries}

    @cached_property
    def _offsets(self) -> dict[str, int]:
        offsets, at = {}, 0
        for entry in self.entries:
            offsets[entry.name] = at
            at += entry.stored_bytes
        return offsets


def write_header(contents: Contents) -> bytes:
    """How long the fields are, 0 or 1, and the fields as they are or deflated."""
    out = FieldWriter()
    out.number(_KINDS.index(contents.kind))
    if contents.source is not None:
        out.text(contents.source.name)
        out.number(contents.source.size)
        out.data += contents.source.sha256
    out.number(len(contents.entries))
    for entry in contents.entries:
        _write_entry(out, entry, contents.kind)
    return framed(bytes(out.data))


def _write_entry(out: FieldWriter, entry: Entry, kind: Kind) -> None:
    out.text(entry.name)
    out.number(DTYPES.index(entry.dtype))
    out.number(len(entry.shape))
    for size in entry.shape:
        out.number(size)
    out.number(entry.coding)
    out.sized(entry.settings)
    out.number(len(entry.streams))
    for stream in entry.streams:
        write_stream(out, stream)
    out.data += entry.digest
    if kind == "model":
        out.double(entry.step)
        return
    out.number(len(entry.ranges))
    at = 0
    for start, length in entry.ranges:
        out.number(start - at)
        out.number(length)
        at = start + length


def write_stream(out: FieldWriter, stream: Stream) -> None:
    """Says of a stream what its blocks do not."""
    out.number(stream.width)
    out.number(stream.columns)
    out.number(len(stream.blocks))
    for block in stream.blocks:
        out.number(block.count)
        out.number(block.size)
        out.data += block.checksum.to_bytes(4, "little")


def parse_header(data: bytes, name: str, most_bytes: int) -> Contents:
    """The header that `write_header` made.

    Args:
        data: Its bytes.
        name: Whose header it is.
        most_bytes: Memory that it may take.

    Raises:
        PackError: It does not make sense, or takes more.
    """
    what = f"the header of {name}"
    fields = unframed(data, what, most_bytes)
    number = fields.number(UPDATE)
    if number == UPDATE:
        raise PackError(
            f"{name} is an update of another file; lilliput unpack {name} --base OLD gives the new"
        )
    kind = _KINDS[number]
    source = None
    if kind == "file":
        source = SourceFile(fields.text(), fields.number(1 << 48), fields.take(32))
    count = fields.number(_MOST_TENSORS)
    entries: list[Entry] = []
    for _ in range(count):
        entries.append(_with_origin(_read_entry(fields, source), entries, what))
    contents = Contents(kind, tuple(entries), source)
    fields.end()
    _check_names(contents.entries, what)
    if source is not None:
        _check_ranges(contents.entries, source.size, what)
    return contents


def _with_origin(entry: Entry, before: Sequence[Entry], what: str) -> Entry:
    """A copy with the tensor that it is a copy of; others as they are."""
    if entry.coding != COPY:
        return entry
    fields = FieldReader(entry.settings, f"{what}: tensor {entry.name!r}")
    place = fields.number(_MOST_TENSORS)
    fields.end()
    origin = before[place] if place < len(before) else None
    facts = (entry.dtype, entry.items, entry.digest)
    if (
        origin is None
        or origin.coding == COPY
        or entry.streams
        or facts != (origin.dtype, origin.items, origin.digest)
    ):
        raise PackError(f"{what}: tensor {entry.name!r} is a copy of none there is")
    return replace(entry, origin=origin)


def _read_entry(fields: FieldReader, source: SourceFile | None) -> Entry:
    name = fields.text(MOST_NAME)
    dtype = DTYPES[fields.number(len(DTYPES) - 1)]
    shape = tuple(fields.number(_MOST_ITEMS) for _ in range(fields.number(MOST_AXES)))
    if math.prod(max(size, 1) for size in shape) > _MOST_ITEMS:
        raise PackError(f"{fields.what}: the shape of tensor {name!r} is {list(shape)}")
    coding, settings = fields.number(255), fields.sized(1 << 24)
    streams = tuple(read_stream_facts(fields) for _ in range(fields.number(255)))
    digest = fields.take(8)
    if source is None:
        step = fields.double()
        if not 0 <= step < MOST_STEP or (step and "int" not in dtype):
            raise PackError(f"{fields.what}: the step of tensor {name!r}, {dtype}, is {step}")
        return Entry(name, dtype, shape, coding, settings, streams, digest, step)
    ranges, at = [], 0
    for _ in range(fields.number(_MOST_TENSORS)):
        start = at + fields.number(source.size)
        length = fields.number(source.size)
        ranges.append((start, length))
        at = start + length
    return Entry(name, dtype, shape, coding, settings, streams, digest, 0.0, tuple(ranges))


def read_stream_facts(fields: FieldReader) -> Stream:
    """What `write_stream` said.

    Raises:
        PackError: It does not make sense.
    """
    width = fields.number(4)
    if width not in {1, 2, 4}:
        raise PackError(f"{fields.what} says integers of {width} bytes; they have 1, 2 or 4")
    columns = fields.number(1 << 48)
    blocks = tuple(_read_block(fields, width) for _ in range(fields.number(1 << 32)))
    return Stream(width, columns, blocks)


def _read_block(fields: FieldReader, width: int) -> Block:
    count = fields.number(MOST_BLOCK)
    # a byte for its form, and never more than the integers as they are
    size = fields.number(1 + width * count)
    return Block(count, size, int.from_bytes(fields.take(4), "little"))


def _check_names(entries: Sequence[Entry], what: str) -> None:
    names = [entry.name for entry in entries]
    if len(set(names)) != len(names):
        raise PackError(f"{what} names a tensor twice")


def _check_ranges(entries: Sequence[Entry], size: int, what: str) -> None:
    """All bytes of the file come from one tensor each."""
    at = 0
    for start, length in sorted(piece for entry in entries for piece in entry.ranges):
        if start != at:
            raise PackError(f"{what} leaves out or makes twice what is at {min(start, at):,}")
        at += length
    if at != size:
        raise PackError(f"{what} makes {at:,} bytes of the file's {size:,}")
    for entry in entries:
        if sum(length for _, length in entry.ranges) != entry.size_bytes:
            raise PackError(f"{what}: tensor {entry.name!r} has not the size of its places")
