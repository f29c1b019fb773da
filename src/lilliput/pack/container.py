"""The `.lil` file: a header that names tensors, then their blocks, one after another.

`docs/format.md` is the specification.
"""

import hashlib
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from lilliput.core import PackError
from lilliput.core.disk import replacing
from lilliput.pack.header import Contents, Entry, Stream, parse_header, write_header

__all__ = [
    "MAGIC",
    "Packed",
    "Payload",
    "Readable",
    "check_budget",
    "checksum",
    "header_of",
    "limit_of",
    "packed_bytes",
    "read_blocks",
    "read_framed",
    "read_stream",
    "write_framed",
    "write_packed",
]

MAGIC = b"\x8aLIL\r\n\x1a\n"
"""Like PNG's: the first byte is no text, and the others show what text mode does to line ends."""
VERSION = 1
_FIXED_BYTES = 52
_MOST_HEADER = 1 << 26
_ALWAYS_BYTES = 1 << 26
_MOST_RATIO = 1000
"""What a file may unpack to where the caller sets no budget: 64 MiB, or 1,000 times its size."""

Payload = Sequence[Sequence[bytes]]
"""Of one tensor: the blocks of each of its streams."""


_PIECE = 1 << 20
"""Bytes read at once: a file that says more than it has costs no memory."""


@runtime_checkable
class Readable(Protocol):
    """What bytes arrive from."""

    def read(self, size: int, /) -> bytes: ...


def limit_of(size: int) -> int:
    """What a file of so many bytes may unpack to where the caller sets no budget."""
    return max(_ALWAYS_BYTES, _MOST_RATIO * size)


def checksum(data: bytes) -> int:
    """CRC-32 of a block, as in gzip."""
    return zlib.crc32(data)


def write_packed(path: Path, contents: Contents, payloads: Sequence[Payload]) -> None:
    """Writes a file whole, or not at all.

    Raises:
        PackError: It cannot be written, or no reader would take the header.
    """
    header = write_header(contents)
    parse_header(header, path.name, 1 << 62)
    write_framed(path, header, _blocks(payloads))


def packed_bytes(contents: Contents, payloads: Sequence[Payload]) -> int:
    """What a file takes."""
    return _FIXED_BYTES + len(write_header(contents)) + sum(map(len, _blocks(payloads)))


def write_framed(path: Path, header: bytes, blocks: Iterable[bytes]) -> None:
    """Writes a header of any kind and what follows it, whole or not at all.

    Raises:
        PackError: It cannot be written.
    """
    try:
        with replacing(path) as part, part.open("wb") as file:
            file.write(header_of(header))
            for block in blocks:
                file.write(block)
    except OSError as error:
        raise PackError(f"cannot write {path}: {error.strerror or error}") from error


def header_of(header: bytes) -> bytes:
    """What stands before the blocks: the fixed part, and the header."""
    fixed = MAGIC + VERSION.to_bytes(4, "little") + len(header).to_bytes(8, "little")
    return fixed + hashlib.sha256(fixed + header).digest() + header


def _blocks(payloads: Sequence[Payload]) -> Iterator[bytes]:
    for payload in payloads:
        for stream in payload:
            yield from stream


@dataclass(frozen=True, eq=False)
class Packed:
    """A packed file whose header was read; its blocks are read when they are asked for.

    Args:
        path: Where it is.
        contents: The header.
        data_start: Where the first block is.
        most_bytes: What may be unpacked from it.
    """

    path: Path
    contents: Contents
    data_start: int
    most_bytes: int

    @classmethod
    def open(cls, path: Path, most_bytes: int | None = None) -> "Packed":
        """Reads and checks the header, and nothing else.

        Args:
            path: The file.
            most_bytes: Refuse what would unpack to more; by default 64 MiB, or 1,000 times the
                file's size where that is more.

        Raises:
            PackError: The file is missing, no packed file, of another version, damaged, or larger
                than `most_bytes` when unpacked.
        """
        try:
            with path.open("rb") as file:
                size = path.stat().st_size
                limit = limit_of(size) if most_bytes is None else most_bytes
                contents, start = _read_header(file, path.name, limit)
        except OSError as error:
            raise PackError(f"cannot read {path}: {error.strerror or error}") from error
        left = size - start - contents.stored_bytes
        if left > 0:
            raise PackError(f"{path.name} has {left:,} bytes after its end")
        return cls(path, contents, start, limit)

    def blocks(self, entry: Entry) -> list[list[bytes]]:
        """The blocks of each stream of a tensor, or of the one it is a copy of; checksums checked.

        Raises:
            PackError: One is cut off or damaged; the message names it.
        """
        start = self.data_start + self.contents.offset_of(entry)
        try:
            with self.path.open("rb") as file:
                file.seek(start)
                return _read_blocks(file, entry.origin or entry, self.path.name)
        except OSError as error:
            raise PackError(f"cannot read {self.path}: {error.strerror or error}") from error


def read_stream(
    file: Readable, name: str, most_bytes: int
) -> tuple[Contents, Iterator[tuple[Entry, list[list[bytes]]]]]:
    """Reads a file from front to back, as it arrives: the header, then tensor after tensor.

    Raises:
        PackError: As for `Packed.open`; the tensors before a damaged one are given.
    """
    contents, _ = _read_header(file, name, most_bytes)
    return contents, _in_order(file, contents, name)


def _in_order(
    file: Readable, contents: Contents, name: str
) -> Iterator[tuple[Entry, list[list[bytes]]]]:
    """Tensors and their blocks; those of which there are copies are kept until the end."""
    copied = {entry.origin.name for entry in contents.entries if entry.origin}
    kept: dict[str, list[list[bytes]]] = {}
    for entry in contents.entries:
        blocks = kept[entry.origin.name] if entry.origin else _read_blocks(file, entry, name)
        if entry.name in copied:
            kept[entry.name] = blocks
        yield entry, blocks


def _taken(file: Readable, size: int) -> bytes:
    """The next bytes; fewer where the file ends."""
    parts, left = [], size
    while left and (part := file.read(min(left, _PIECE))):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _read_header(file: Readable, name: str, most_bytes: int) -> tuple[Contents, int]:
    header, start = read_framed(file, name)
    contents = parse_header(header, name, most_bytes)
    check_budget(contents.unpacked_bytes, most_bytes, name)
    return contents, start


def check_budget(needed: int, most_bytes: int, name: str) -> None:
    """Makes sure that a file does not unpack to more than is allowed.

    Raises:
        PackError: It does.
    """
    if needed > most_bytes:
        raise PackError(
            f"{name} unpacks to {needed:,} bytes, at most {most_bytes:,} are "
            "allowed; allow more with most_bytes (--most-bytes) if you trust it"
        )


def read_framed(file: Readable, name: str) -> tuple[bytes, int]:
    """The header of a file, its digest checked, and where what follows it begins.

    Raises:
        PackError: The file is no packed file, of another version, cut off or damaged.
    """
    fixed = _taken(file, _FIXED_BYTES)
    if not fixed.startswith(MAGIC):
        raise PackError(f"{name} is no packed file: it does not begin with {MAGIC!r}")
    if len(fixed) < _FIXED_BYTES:
        raise PackError(f"{name} is cut off: its first {_FIXED_BYTES} bytes are not all there")
    version = int.from_bytes(fixed[8:12], "little")
    if version != VERSION:
        raise PackError(
            f"{name} is of version {version}, this reads {VERSION}; install a newer lilliput"
        )
    size = int.from_bytes(fixed[12:20], "little")
    if size > _MOST_HEADER:
        raise PackError(f"{name} has a header of {size:,} bytes, more than {_MOST_HEADER:,}")
    header = _taken(file, size)
    if len(header) < size:
        raise PackError(f"{name} is cut off in its header, of which {size:,} bytes must be")
    if hashlib.sha256(fixed[:20] + header).digest() != fixed[20:]:
        raise PackError(f"the header of {name} is damaged: its digest is another")
    return header, _FIXED_BYTES + size


def _read_blocks(file: Readable, entry: Entry, name: str) -> list[list[bytes]]:
    what = f"tensor {entry.name!r} in {name}"
    return [read_blocks(file, stream, what) for stream in entry.streams]


def read_blocks(file: Readable, stream: Stream, what: str) -> list[bytes]:
    """The next blocks, which are those of a stream, their checksums checked.

    Raises:
        PackError: One is cut off or damaged; the message names it.
    """
    return [_read_block(file, stream, place, what) for place in range(len(stream.blocks))]


def _read_block(file: Readable, stream: Stream, place: int, what: str) -> bytes:
    block = stream.blocks[place]
    data = _taken(file, block.size)
    where = f"block {place} of {len(stream.blocks)} of {what}"
    if len(data) < block.size:
        raise PackError(f"{where} is cut off; `lilliput inspect` says what can be read")
    if checksum(data) != block.checksum:
        raise PackError(f"{where} is damaged: its checksum is another")
    return data
