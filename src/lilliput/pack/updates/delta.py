"""Updates: of two packed files, what turns the old one into the new."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from lilliput.core import PackError
from lilliput.core.progress import track
from lilliput.pack.codings import INTEGERS, MULTIPLES, Array
from lilliput.pack.container import Packed, read_framed, write_framed
from lilliput.pack.file import check_apart
from lilliput.pack.header import Contents, Entry, Stream, write_header
from lilliput.pack.restore import array_of
from lilliput.pack.stream import Source, encode_streams
from lilliput.pack.tokens import Integers
from lilliput.pack.updates.align import parts_of, write_parts
from lilliput.pack.updates.apply import update_to
from lilliput.pack.updates.base import Base, are_alike
from lilliput.pack.updates.blocks import BlockWriter
from lilliput.pack.updates.differences import TEXT, Places, Pools, bits_of
from lilliput.pack.updates.header import DIFFERENT, SAME, WHOLE, How, Update

__all__ = ["delta"]

_ROW = 256
"""Differences in a row, so that tensors which moved more are told from others."""
_ALL = 1 << 62


def delta(old: Path | str, new: Path | str, out: Path | str) -> Path:
    """Writes an update, of which `apply_delta` makes the new file where the old one is.

    Of a packed model it makes the packed file, byte for byte; of a packed `.tflite`, `.onnx` or any
    other file it makes that file. It is applied here once, and the result compared.

    Args:
        old: A packed file.
        new: Another of the same kind.
        out: Where to write the update.

    Raises:
        PackError: A file cannot be read or is damaged, they are of two kinds, or the update
            cannot be written.
    """
    out = Path(out)
    check_apart(out, Path(old), Path(new))
    base, packed = Base.open(Path(old), _ALL), Packed.open(Path(new), _ALL)
    if base.packed is None or base.kind != packed.contents.kind:
        what = base.kind if base.packed else "file that is not packed"
        raise PackError(
            f"{base.name} holds a {what} and {packed.path.name} a {packed.contents.kind}; an "
            "update is made of two packed files of one kind (lilliput pack)"
        )
    update, blocks = _Maker(base, packed).made()
    write_framed(out, update.write(), blocks)
    if hashlib.sha256(update_to(base, out, _ALL)).digest() != update.result:
        raise AssertionError("an update does not make what it was made for")
    return out


@dataclass(frozen=True, eq=False)
class _Moves:
    """A tensor by differences."""

    settings: bytes
    values: Integers
    places: Places

    @property
    def likely_bytes(self) -> float:
        """What it takes in the update."""
        return bits_of(self.values) / 8 + len(self.settings)


class _Maker:
    """Goes through the tensors of the new file."""

    def __init__(self, base: Base, packed: Packed) -> None:
        self.base, self.packed = base, packed
        self.is_model = packed.contents.kind == "model"
        self.writer, self.pools = BlockWriter(base), Pools()
        self.ways: list[How] = []
        self.entries: list[Entry] = []
        self.stored: list[bytes] = []

    def made(self) -> tuple[Update, list[bytes]]:
        """The update's header, and all of its blocks."""
        for entry in track(self.packed.contents.entries, "comparing"):
            how, written = self._how(entry)
            self.ways.append(how)
            self.entries.append(written)
        streams, blocks = self._streams()
        data = self.packed.path.read_bytes()
        source = self.packed.contents.source
        update = Update(
            self.base.digest,
            source.sha256 if source else hashlib.sha256(data).digest(),
            source.size if source else len(data),
            self._header(),
            replace(self.packed.contents, entries=tuple(self.entries)),
            tuple(self.ways),
            tuple(streams),
        )
        return update, blocks + self.stored

    def _how(self, entry: Entry) -> tuple[How, Entry]:
        """How a tensor is made, and what the header says of it."""
        if entry.origin is not None:
            return How(WHOLE), entry
        blocks = self.packed.blocks(entry)
        new = array_of(entry, blocks, self.packed.path.name)
        bare = entry if self.is_model else _bare(entry)
        if self._is_same(entry, blocks):
            return How(SAME), bare
        moves = self._moves(entry, new)
        if moves is not None and moves.likely_bytes < entry.stored_bytes:
            self.pools.add(moves.values, moves.places)
            if self.is_model:
                self.writer.add(entry, new, blocks)
            return How(DIFFERENT, moves.settings), bare
        self.stored += [block for own in blocks for block in own]
        return How(WHOLE), entry

    def _is_same(self, entry: Entry, blocks: list[list[bytes]]) -> bool:
        """Whether the old tensor, or of a model its blocks, can be taken as they are."""
        before = self.base.entry(entry.name)
        if before is None:
            return False
        facts = (entry.dtype, entry.shape, entry.digest)
        if facts != (before.dtype, before.shape, before.digest):
            return False
        return not self.is_model or self.base.blocks(before) == blocks

    def _moves(self, entry: Entry, new: Array) -> _Moves | None:
        """A tensor by differences; None where it was not there, or was another."""
        old = self.base.old(entry.name)
        if not new.size or old is None or old.step != entry.step:
            return None
        if not are_alike(old.dtype, entry.dtype):
            return None
        flat = np.ascontiguousarray(new).reshape(-1)
        settings = b""
        if old.values.shape != new.shape:
            before = np.ascontiguousarray(old.values).reshape(-1).astype(new.dtype)
            settings = write_parts(parts_of(before, flat))
        moves = self.base.before(entry, settings, entry.name)
        return _Moves(settings, moves.differences(flat, entry), moves.places(entry))

    def _streams(self) -> tuple[list[Stream], list[bytes]]:
        fields = np.frombuffer(bytes(self.writer.fields.data), np.uint8).astype(np.int32)
        sources = [Source(fields, 1, is_text=True), Source(self.writer.lines, 1)]
        sources += [_source(values, pool) for pool, values in enumerate(self.pools.whole())]
        coded = encode_streams(sources)
        return [stream for stream, _ in coded], [block for _, own in coded for block in own]

    def _header(self) -> bytes:
        """The new file's own, or of a file what must be known of it."""
        if not self.is_model:
            contents = self.packed.contents
            return write_header(Contents("file", tuple(self.entries), contents.source))
        with self.packed.path.open("rb") as file:
            return read_framed(file, self.packed.path.name)[0]


def _bare(entry: Entry) -> Entry:
    """What must be known of a file's tensor that is not there whole."""
    if entry.coding == MULTIPLES:
        return replace(entry, streams=())
    return replace(entry, coding=INTEGERS, settings=b"", streams=())


def _source(values: Integers, pool: int) -> Source:
    if pool == TEXT:
        return Source(values & 255, 1, is_text=True)
    padded = np.pad(values, (0, -len(values) % _ROW))
    return Source(padded, 4, _ROW)
