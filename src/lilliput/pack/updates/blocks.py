"""The blocks of a packed model made anew from its tensors: what an update says of them, and how.

Of each block the fields stand in one row of bytes, and the classes of its lines in another, by
what they differ from those of the old block in the same place.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from lilliput.core import PackError
from lilliput.pack.arrays import streams_of
from lilliput.pack.classes import Lines
from lilliput.pack.codings import Array
from lilliput.pack.fields import FieldReader, FieldWriter
from lilliput.pack.header import Entry, Stream
from lilliput.pack.plan import Plan, encode_plans
from lilliput.pack.tokens import Integers
from lilliput.pack.updates.base import Base
from lilliput.pack.updates.recode import (
    Apart,
    lines_in,
    mixed_again,
    mixed_head,
    plan_again,
    taken_apart,
)

__all__ = ["BlockReader", "BlockWriter"]

_STORED, _CODED, _MIXED = b"\0", b"\1", b"\3"
_AS_IT_IS, _RAW, _AGAIN, _MIXED_AGAIN = range(4)
_NOTHING = np.zeros(0, np.uint8)
_MOST_BLOCK_BYTES = 1 << 25

Blocks = Sequence[Sequence[bytes]]


class _OldLines:
    """The classes of the lines of a tensor's old blocks."""

    def __init__(self, base: Base, entry: Entry) -> None:
        before = base.entry(entry.name)
        self._entry = before.origin or before if before else None
        self._blocks = base.blocks(self._entry) if self._entry else []

    def of(self, stream: int, place: int) -> tuple[Lines, Lines]:
        """Those of rows and of columns; nothing where there are none."""
        if self._entry is None or stream >= len(self._blocks):
            return _NOTHING, _NOTHING
        facts = self._entry.streams[stream]
        if place >= len(facts.blocks) or self._blocks[stream][place][:1] != _CODED:
            return _NOTHING, _NOTHING
        data, count = self._blocks[stream][place][1:], facts.blocks[place].count
        apart = taken_apart(data, count, facts.columns, "an old block")
        return apart.rows, apart.columns


def _pieces(values: Integers, stream: Stream) -> Iterator[tuple[int, Integers]]:
    at = 0
    for place, block in enumerate(stream.blocks):
        yield place, values[at : at + block.count]
        at += block.count


class BlockWriter:
    """Says how blocks are made anew."""

    def __init__(self, base: Base) -> None:
        self._base = base
        self.fields = FieldWriter()
        self._lines: list[Lines] = []

    @property
    def lines(self) -> Integers:
        """What classes differ by."""
        return np.concatenate([_NOTHING, *self._lines]).astype(np.int32)

    def add(self, entry: Entry, values: Array, blocks: Blocks) -> None:
        """Says how the blocks of a tensor are made of its values."""
        old = _OldLines(self._base, entry)
        for number, integers in enumerate(streams_of(entry, values)):
            stream = entry.streams[number]
            for place, piece in _pieces(integers, stream):
                block = blocks[number][place]
                if block[:1] == _STORED:
                    self.fields.number(_RAW)
                elif not self._again(piece, stream, block, old.of(number, place)):
                    self.fields.number(_AS_IT_IS)
                    self.fields.sized(block)

    def _again(
        self, values: Integers, stream: Stream, block: bytes, old: tuple[Lines, Lines]
    ) -> bool:
        """Says the fields and classes of a block, if it can be made of them."""
        if block[:1] == _MIXED:
            return self._mixed_again(values, stream, block[1:])
        if block[:1] != _CODED:
            return False
        apart = taken_apart(block[1:], len(values), stream.columns, "a block")
        plan = plan_again(values, stream.columns, apart, "a block")
        if encode_plans([plan])[0] != block[1:]:
            return False
        self.fields.number(_AGAIN)
        self.fields.sized(apart.head)
        for lines, before in zip((apart.rows, apart.columns), old, strict=True):
            self._lines.append(lines - before if len(before) == len(lines) else lines)
        return True

    def _mixed_again(self, values: Integers, stream: Stream, data: bytes) -> bool:
        head = mixed_head(data, "a block")
        if mixed_again(values, stream.columns, head, "a block") != data:
            return False
        self.fields.number(_MIXED_AGAIN)
        self.fields.sized(head)
        return True


class BlockReader:
    """Makes blocks anew, in the order in which they were said.

    Args:
        base: What the update starts from.
        fields: Of all blocks.
        lines: What classes differ by.
        name: The update's, for errors.
    """

    def __init__(self, base: Base, fields: bytes, lines: npt.NDArray[np.uint8], name: str) -> None:
        self._base, self._lines, self._at = base, lines, 0
        self._fields = FieldReader(fields, f"the fields of blocks in {name}")

    def blocks(self, entry: Entry, values: Array) -> Iterator[bytes | Plan]:
        """The blocks of a tensor, or the plans that are to be coded.

        Raises:
            PackError: What was said cannot be.
        """
        old = _OldLines(self._base, entry)
        for number, integers in enumerate(streams_of(entry, values)):
            stream = entry.streams[number]
            for place, piece in _pieces(integers, stream):
                way = self._fields.number(_MIXED_AGAIN)
                if way == _RAW:
                    yield _STORED + piece.astype(f"<u{stream.width}").tobytes()
                elif way == _AS_IT_IS:
                    yield self._fields.sized(_MOST_BLOCK_BYTES)
                elif way == _MIXED_AGAIN:
                    yield _MIXED + self._mixed(piece, stream)
                else:
                    yield self._plan(piece, stream, old.of(number, place))

    def end(self) -> None:
        """Makes sure that all was used.

        Raises:
            PackError: Something is left.
        """
        self._fields.end()
        if self._at != len(self._lines):
            raise PackError(f"{self._fields.what} leave classes that are of no block")

    def _mixed(self, values: Integers, stream: Stream) -> bytes:
        return mixed_again(values, stream.columns, self._head(stream), self._fields.what)

    def _head(self, stream: Stream) -> bytes:
        if stream.columns < 1:
            raise PackError(f"{self._fields.what} are for rows of {stream.columns} integers")
        return self._fields.sized(_MOST_BLOCK_BYTES)

    def _plan(self, values: Integers, stream: Stream, old: tuple[Lines, Lines]) -> Plan:
        what, head = self._fields.what, self._head(stream)
        counts = lines_in(head, len(values), stream.columns, what)
        rows, columns = (self._take(*pair) for pair in zip(counts, old, strict=True))
        return plan_again(values, stream.columns, Apart(head, rows, columns), what)

    def _take(self, count: int, before: Lines) -> Lines:
        if count > len(self._lines) - self._at:
            raise PackError(f"{self._fields.what} need more classes than there are")
        self._at += count
        own = self._lines[self._at - count : self._at]
        return own + before if len(before) == count else own
