"""A coded block made anew, byte for byte, from its integers, its fields and its classes.

Everything here is integer arithmetic, so that each machine makes the same bytes.
"""

from dataclasses import dataclass

import numpy as np

from lilliput.core import PackError
from lilliput.pack.block import (
    Head,
    Integers,
    Method,
    Plan,
    read_classes,
    read_head,
    shape_of,
    symbols_of,
)
from lilliput.pack.classes import Classes, Lines, Way
from lilliput.pack.fields import FieldReader
from lilliput.pack.rans import Decoder
from lilliput.pack.tokens import fold

__all__ = ["Apart", "lines_in", "plan_again", "taken_apart"]


@dataclass(frozen=True, eq=False)
class Apart:
    """What a block has besides its integers.

    Args:
        head: Its fields.
        rows: The class of each row; nothing where rows have none.
        columns: Of each column.
    """

    head: bytes
    rows: Lines
    columns: Lines


def taken_apart(data: bytes, count: int, columns: int, what: str) -> Apart:
    """The fields and the classes of a block.

    Args:
        data: The block, without the byte that says its form.
        count: Integers in it.
        columns: Integers in a row.
        what: Which block it is, for errors.

    Raises:
        PackError: The block is damaged.
    """
    fields, shape = FieldReader(data, what), shape_of(count, columns)
    head = read_head(fields, shape)
    classes = read_classes(Decoder(data[fields.at :], head.lanes, what), head, shape)
    nothing = np.zeros(0, np.uint8)
    rows = nothing if classes.rows is None else classes.rows
    lines = nothing if classes.columns is None else classes.columns
    return Apart(data[: fields.at], rows, lines)


def lines_in(head: bytes, count: int, columns: int, what: str) -> tuple[int, int]:
    """How many rows and columns have a class, by the fields of a block."""
    shape = shape_of(count, columns)
    tables = _read(head, shape, what).line_tables
    rows, lines = (0 if table is None else size for table, size in zip(tables, shape, strict=True))
    return rows, lines


def _read(head: bytes, shape: tuple[int, int], what: str) -> Head:
    fields = FieldReader(head, what)
    found = read_head(fields, shape)
    fields.end()
    return found


def plan_again(values: Integers, columns: int, apart: Apart, what: str) -> Plan:
    """The plan of a block that was taken apart.

    Args:
        values: Its integers.
        columns: Integers in a row.
        apart: The rest.
        what: Which block it is, for errors.

    Raises:
        PackError: The fields do not suit the integers.
    """
    shape = shape_of(len(values), columns)
    head = _read(apart.head, shape, what)
    classes = Classes(
        *(
            None if table is None else lines
            for table, lines in zip(head.line_tables, (apart.rows, apart.columns), strict=True)
        )
    )
    sizes = [size for table, size in zip(head.line_tables, shape, strict=True) if table is not None]
    lines = [x for x in (classes.rows, classes.columns) if x is not None]
    folded = fold(values, head.middle).reshape(shape)
    alphabet = head.alphabet
    has_room = not folded.size or int(folded.max()) < int(alphabet.lows[-1])
    if [len(x) for x in lines] != sizes or not has_room or _most(classes) >= len(head.tables):
        raise PackError(f"{what} has fields that do not suit its integers")
    method = Method(head.middle, alphabet, classes, head.tables)
    tables = [table for table in head.line_tables if table is not None]
    try:
        frequencies, starts = symbols_of(folded, method, tables)
    except IndexError as error:
        raise PackError(f"{what} has a class that there is not") from error
    if len(frequencies) and not frequencies.min():
        raise PackError(f"{what} has integers that its tables do not know")
    way = Way(has_rows=False, has_columns=False, steps=1)
    return Plan(apart.head, frequencies, starts, alphabet, way, head.lanes)


def _most(classes: Classes) -> int:
    """The last table that is needed."""
    most = [1 if x is None or not len(x) else int(x.max()) for x in (classes.rows, classes.columns)]
    return max(0, sum(most) - 2)
