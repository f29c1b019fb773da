"""Applying an update to the file it needs."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from lilliput.core import PackError
from lilliput.core.progress import track
from lilliput.pack.codings import Array, digest
from lilliput.pack.container import Readable, header_of, limit_of, read_blocks
from lilliput.pack.file import free_place, put, taken, write_whole
from lilliput.pack.header import Entry
from lilliput.pack.plan import Plan, encode_plans
from lilliput.pack.restore import array_of
from lilliput.pack.stream import decode_stream
from lilliput.pack.updates.base import Base
from lilliput.pack.updates.blocks import BlockReader
from lilliput.pack.updates.differences import Pools
from lilliput.pack.updates.header import DIFFERENT, SAME, WHOLE, How, read_update

__all__ = ["Applied", "apply_delta", "update_to"]

_CODED = b"\1"
_SYMBOLS_AT_ONCE = 1 << 22


def apply_delta(
    old: Path | str,
    update: Path | str,
    out: Path | str | None = None,
    most_bytes: int | None = None,
) -> Path:
    """Makes the new file of the old one and an update, whole or not at all.

    Args:
        old: The file that the update was made for: a packed model; a packed file; or the file
            that was packed, such as a `.tflite`.
        update: What `delta` wrote.
        out: Where to write; by default beside the update: a packed model under its name with
            `.new.lil`, a file under the name that it had.
        most_bytes: Refuse to make more; by default 64 MiB, or 1,000 times both files where that is
            more.

    Raises:
        PackError: The old file is not the one that the update needs, and both digests are named; a
            file is missing or damaged; or it would take more than `most_bytes`.
    """
    old, update = Path(old), Path(update)
    try:
        sizes = old.stat().st_size + update.stat().st_size
    except OSError as error:
        raise PackError(f"cannot read {error.filename}: {error.strerror or error}") from error
    limit = limit_of(sizes) if most_bytes is None else most_bytes
    base = Base.open(old, limit)
    applied = Applied(base, update, limit)
    applied.check()
    return applied.write(None if out is None else Path(out))


def update_to(base: Base, update: Path, most_bytes: int) -> bytes:
    """The bytes of the new file."""
    applied = Applied(base, update, most_bytes)
    applied.check()
    return bytes(applied.data)


class Applied:
    """The new file.

    Args:
        base: What the old file has.
        path: The update.
        most_bytes: That may be made.

    Raises:
        PackError: The base is another, or the update is damaged.
    """

    def __init__(self, base: Base, path: Path, most_bytes: int) -> None:
        self.base, self.path = base, path
        try:
            with path.open("rb") as file:
                self.update = read_update(file, path.name, path.stat().st_size, most_bytes)
                self._check_base()
                self.data = self._made(file)
        except OSError as error:
            raise PackError(f"cannot read {path}: {error.strerror or error}") from error

    def check(self) -> None:
        """Makes sure that it is the file that the update says.

        Raises:
            PackError: It is another.
        """
        if hashlib.sha256(self.data).digest() != self.update.result:
            raise PackError(f"{self.path.name} is damaged: it makes another file than it says")

    def write(self, out: Path | None) -> Path:
        """Writes it."""
        source = self.update.contents.source
        if out is None:
            folder = self.path.parent
            out = free_place(folder, source) if source else folder / f"{self.path.stem}.new.lil"
        write_whole(out, self.data)
        return out

    def _check_base(self) -> None:
        if self.base.digest != self.update.base:
            raise PackError(
                f"{self.path.name} needs the file whose SHA-256 is {self.update.base.hex()}; that "
                f"of {self.base.name} is {self.base.digest.hex()}"
            )

    def _made(self, file: Readable) -> bytearray:
        name = self.path.name
        streams = [
            decode_stream(stream, read_blocks(file, stream, f"stream {place} of {name}"), name)
            for place, stream in enumerate(self.update.streams)
        ]
        fields, lines = streams[0].astype(np.uint8).tobytes(), streams[1].astype(np.uint8)
        self.pools = Pools([pool.astype(np.uint32).view(np.int32) for pool in streams[2:]])
        self.reader = BlockReader(self.base, fields, lines, name)
        source = self.update.contents.source
        made = self._file(file, bytearray(source.size)) if source else self._model(file)
        self.reader.end()
        return made

    def _pairs(self) -> Iterator[tuple[Entry, How]]:
        pairs = list(zip(self.update.contents.entries, self.update.ways, strict=True))
        return track(pairs, "updating")

    def _file(self, file: Readable, data: bytearray) -> bytearray:
        for entry, how in self._pairs():
            if entry.origin is not None:
                values = np.frombuffer(taken(entry.origin, data), np.uint8)
            elif how.way == WHOLE:
                values = array_of(entry, self._whole(file, entry), self.path.name)
            else:
                values = self._values(entry, how)
            put(values, entry, data)
        return data

    def _model(self, file: Readable) -> bytearray:
        made = _Blocks(header_of(self.update.header))
        for entry, how in self._pairs():
            if how.way == DIFFERENT:
                for block in self.reader.blocks(entry, self._values(entry, how)):
                    made.add(block)
                continue
            for own in self._whole(file, entry) if how.way == WHOLE else self._same(entry):
                for block in own:
                    made.add(block)
        made.finish()
        return made.data

    def _whole(self, file: Readable, entry: Entry) -> list[list[bytes]]:
        what = f"tensor {entry.name!r} in {self.path.name}"
        return [read_blocks(file, stream, what) for stream in entry.streams]

    def _same(self, entry: Entry) -> list[list[bytes]]:
        before = self.base.entry(entry.name)
        if before is None:
            raise PackError(f"{self.base.name} has no tensor {entry.name!r}, which stays the same")
        return self.base.blocks(before)

    def _values(self, entry: Entry, how: How) -> Array:
        """A tensor of a file, or one by differences."""
        what = f"tensor {entry.name!r} in {self.path.name}"
        before = self.base.before(entry, how.settings, what)
        if how.way == SAME:
            return before.moved_by(np.zeros(entry.items, np.int32), entry)
        by = self.pools.take(before.places(entry), what)
        found = before.moved_by(by, entry).reshape(entry.shape)
        if digest(found) != entry.digest:
            raise PackError(f"{what} is damaged: the digest of its integers is another")
        return found


class _Blocks:
    """A packed file that grows block by block; those that are to be coded are coded together."""

    def __init__(self, head: bytes) -> None:
        self.data = bytearray(head)
        self._waiting: list[bytes | Plan] = []
        self._symbols = 0

    def add(self, block: bytes | Plan) -> None:
        """The next block."""
        self._waiting.append(block)
        self._symbols += 0 if isinstance(block, bytes) else len(block.frequencies)
        if self._symbols > _SYMBOLS_AT_ONCE:
            self.finish()

    def finish(self) -> None:
        """Codes what waits."""
        codes = iter(encode_plans([one for one in self._waiting if not isinstance(one, bytes)]))
        for one in self._waiting:
            self.data += one if isinstance(one, bytes) else _CODED + next(codes)
        self._waiting, self._symbols = [], 0
