"""An update: what turns a file that is there already into a new one.

Its header has the new file's header, and says of each tensor how it is made: its blocks stand in
the update, it is as it was, or it is coded by differences from what it was.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from lilliput.core import PackError
from lilliput.pack.container import Readable, check_budget, limit_of, read_framed
from lilliput.pack.fields import FieldWriter
from lilliput.pack.framing import framed, unframed
from lilliput.pack.header import (
    UPDATE,
    Contents,
    Entry,
    Stream,
    parse_header,
    read_stream_facts,
    write_stream,
)
from lilliput.pack.updates.differences import POOLS

__all__ = ["DIFFERENT", "SAME", "STREAMS", "WHOLE", "How", "Update", "is_update", "read_update"]

WHOLE, SAME, DIFFERENT = range(3)
STREAMS = 2 + POOLS
"""Fields of blocks, classes of their lines, and the pools."""
_MOST_SETTINGS = 1 << 24
_MOVED_BYTES = 48
"""Memory that an item takes which is made of what it was, and coded again."""


@dataclass(frozen=True)
class How:
    """How a tensor is made.

    Args:
        way: `WHOLE`, `SAME` or `DIFFERENT`.
        settings: Where parts of it were; nothing where all is where it was.
    """

    way: int
    settings: bytes = b""


@dataclass(frozen=True, eq=False)
class Update:
    """The header of an update.

    Args:
        base: SHA-256 of the file that it needs.
        result: SHA-256 of the file that it makes.
        size: Bytes of that.
        header: Of the new file.
        contents: What that says.
        ways: How each tensor is made.
        streams: Of the update.
    """

    base: bytes
    result: bytes
    size: int
    header: bytes
    contents: Contents
    ways: tuple[How, ...]
    streams: tuple[Stream, ...]

    @property
    def whole(self) -> list[Entry]:
        """Tensors whose blocks stand in the update."""
        pairs = zip(self.contents.entries, self.ways, strict=True)
        return [entry for entry, how in pairs if how.way == WHOLE]

    @property
    def stored_bytes(self) -> int:
        """Bytes of all blocks in the update."""
        blocks = [block.size for stream in self.streams for block in stream.blocks]
        return sum(blocks) + sum(entry.stored_bytes for entry in self.whole)

    def write(self) -> bytes:
        """The header of the update."""
        out = FieldWriter()
        out.number(UPDATE)
        out.data += self.base
        out.sized(self.header)
        if self.contents.source is None:
            out.data += self.result
            out.number(self.size)
        for how in self.ways:
            out.number(how.way)
            if how.way == DIFFERENT:
                out.sized(how.settings)
        for stream in self.streams:
            write_stream(out, stream)
        return framed(bytes(out.data))


def is_update(path: Path) -> bool:
    """Whether a file is an update.

    Raises:
        PackError: It is no packed file, or damaged.
    """
    with _opened(path) as file:
        header, _ = read_framed(file, path.name)
    fields = unframed(header, f"the header of {path.name}", limit_of(0))
    return fields.number() == UPDATE


def read_update(file: Readable, name: str, size: int, most_bytes: int) -> Update:
    """Reads and checks the header of an update, and stays before its first block.

    Args:
        file: Where it comes from.
        name: The file's, for errors.
        size: Bytes of the file.
        most_bytes: Memory that it may take, with what it makes.

    Raises:
        PackError: It is no update, damaged, or takes more.
    """
    header, start = read_framed(file, name)
    what = f"the header of {name}"
    fields = unframed(header, what, most_bytes)
    if fields.number() != UPDATE:
        raise PackError(f"{name} is no update; it unpacks without another file")
    base, own = fields.take(32), fields.sized(1 << 26)
    contents = parse_header(own, f"the file that {name} makes", most_bytes)
    source = contents.source
    result = source.sha256 if source else fields.take(32)
    made = source.size if source else fields.number(1 << 48)
    ways = []
    for _ in contents.entries:
        way = fields.number(DIFFERENT)
        ways.append(How(way, fields.sized(_MOST_SETTINGS) if way == DIFFERENT else b""))
    streams = tuple(read_stream_facts(fields) for _ in range(STREAMS))
    fields.end()
    update = Update(base, result, made, own, contents, tuple(ways), streams)
    decoded = sum(4 * stream.count for stream in streams)
    pairs = zip(contents.entries, ways, strict=True)
    decoded += sum(_MOVED_BYTES * entry.items for entry, how in pairs if how.way != WHOLE)
    if source is None:  # of a file, what is unpacked has its size in it
        decoded += made
    check_budget(decoded + contents.unpacked_bytes, most_bytes, name)
    left = size - start - update.stored_bytes
    if left > 0:
        raise PackError(f"{name} has {left:,} bytes after its end")
    return update


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise PackError(f"cannot read {path}: {error.strerror or error}") from error
