"""A block: what says how its integers were coded, then their code; here decoded in NumPy.

`decoder/block.c` reads the same bytes; `docs/format.md` describes them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lilliput.core import PackError
from lilliput.pack.classes import LINES, MOST_CLASSES, MOST_LINES, Classes, shape_of
from lilliput.pack.fields import FieldReader
from lilliput.pack.predict import Prediction, read_prediction
from lilliput.pack.rans import Decoder
from lilliput.pack.tables import Table, read_table
from lilliput.pack.tokens import ALPHABET, Alphabet, Integers, Words, chunks, unfold

__all__ = ["Head", "decode_block", "read_classes", "read_head"]

_MOST_TABLES = 2 * MOST_CLASSES
_MOST_LANES = 64


@dataclass(frozen=True, eq=False)
class Head:
    """What stands before the code of a block.

    Args:
        lanes: Coders that take turns.
        middle: What its integers lie around.
        prediction: Of their distances from it, if there is one.
        alphabet: Of what is left of these.
        line_tables: Of the classes of rows and of columns, where they have some.
        tables: Of tokens.
    """

    lanes: int
    middle: int
    prediction: Prediction | None
    alphabet: Alphabet
    line_tables: tuple[Table | None, Table | None]
    tables: tuple[Table, ...]


def decode_block(data: bytes, count: int, columns: int, what: str) -> Integers:
    """The integers of a block, in NumPy.

    Args:
        data: The block.
        count: Integers in it.
        columns: Integers in a row.
        what: Which block it is, for errors.

    Raises:
        PackError: The block is damaged.
    """
    fields, shape = FieldReader(data, what), shape_of(count, columns)
    head = read_head(fields, shape)
    decoder = Decoder(data[fields.at :], head.lanes, what)
    classes = read_classes(decoder, head, shape)
    alphabet, tables = head.alphabet, head.tables
    which = classes.places(*shape)
    if len(which) and which.max() >= len(tables):
        raise PackError(f"{what} is damaged: it has no table {which.max()}")
    tokens = decoder.tokens(which, _stacked(tables, alphabet))
    folded = alphabet.bases[tokens]
    if alphabet.classes:
        folded += _read_raw(decoder, alphabet.bits[tokens])
    decoder.end()
    is_coded = classes.grid(*shape)[1].reshape(-1)
    found = np.zeros(count, np.uint32)
    found[is_coded] = folded
    if head.prediction is None:
        return unfold(found, head.middle)
    distances = head.prediction.restored(unfold(found, 0)).view(np.uint32)
    return (distances + np.uint32(head.middle)).view(np.int32)


def read_head(fields: FieldReader, shape: tuple[int, int]) -> Head:
    """The fields of a block of so many rows and columns.

    Raises:
        PackError: They cannot be.
    """
    lanes = fields.number(_MOST_LANES)
    if lanes < 1 or lanes & (lanes - 1):
        raise PackError(f"{fields.what} says {lanes} coders")
    middle = fields.number(0xFFFFFFFF)
    prediction = read_prediction(fields, shape[0] * shape[1])
    direct = 1 + fields.number(ALPHABET - 1)
    steps = fields.number(3)
    most = min((32 - steps) << steps, ALPHABET - direct)
    alphabet = Alphabet(direct, steps, fields.number(most))
    flags = fields.number(3)
    if flags and max(shape) > MOST_LINES:
        raise PackError(f"{fields.what} has classes for {max(shape):,} lines")
    by_row, by_column = (read_table(fields, LINES) if flags & bit else None for bit in (1, 2))
    count = 1 + fields.number(_MOST_TABLES - 1)
    tables = tuple(read_table(fields, alphabet) for _ in range(count))
    return Head(lanes, middle, prediction, alphabet, (by_row, by_column), tables)


def read_classes(decoder: Decoder, head: Head, shape: tuple[int, int]) -> Classes:
    """The classes of rows and columns, which are the first symbols."""
    by_row, by_column = (
        None if table is None else _classes(decoder, table, size)
        for table, size in zip(head.line_tables, shape, strict=True)
    )
    return Classes(by_row, by_column)


def _stacked(tables: Sequence[Table], alphabet: Alphabet) -> Words:
    return np.stack([table.frequencies(alphabet) for table in tables]).astype(np.uint32)


def _classes(decoder: Decoder, table: Table, count: int) -> npt.NDArray[np.uint8]:
    return decoder.tokens(np.zeros(count, np.intp), _stacked([table], LINES))


def _read_raw(decoder: Decoder, bits: Words) -> Words:
    sizes, owners, shifts = chunks(bits)
    pieces = decoder.raw(sizes) << shifts
    found = np.zeros(len(bits), np.uint32)
    np.add.at(found, owners, pieces)
    return found
