"""A coded block made anew, byte for byte, from its integers, its fields and its classes.

Everything here is integer arithmetic, so that each machine makes the same bytes.
"""

from dataclasses import dataclass, replace

import numpy as np

from lilliput.core import PackError
from lilliput.pack.block import Head, read_classes, read_head
from lilliput.pack.classes import LINES, Classes, Lines, Way, shape_of
from lilliput.pack.fields import FieldReader
from lilliput.pack.mixing import encode_mixed, is_possible, read_mixed_head
from lilliput.pack.native import native_mixing
from lilliput.pack.plan import Method, Plan, symbols_of
from lilliput.pack.rans import Decoder
from lilliput.pack.tokens import Integers, Words, fold

__all__ = ["Apart", "lines_in", "mixed_again", "mixed_head", "plan_again", "taken_apart"]

_MOST_BYTES = 16
"""Of a mixed integer, at worst."""


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
    alphabet = head.alphabet
    folded = _folded(values, head).reshape(shape)
    has_room = not folded.size or int(folded.max()) < int(alphabet.lows[-1])
    if [len(x) for x in lines] != sizes or not has_room or _most(classes) >= len(head.tables):
        raise PackError(f"{what} has fields that do not suit its integers")
    by_row, by_column = (
        None if table is None else table.frequencies(LINES) for table in head.line_tables
    )
    plan = Plan(
        Method(head.middle, head.prediction, alphabet, classes, Way(False, False, 1)),
        head.tables,
        np.stack([table.frequencies(alphabet) for table in head.tables]),
        (by_row, by_column),
        folded,
        alphabet.tokens(folded),
        apart.head,
        0,
        head.lanes,
    )
    try:
        frequencies, _ = symbols_of(plan)
    except IndexError as error:
        raise PackError(f"{what} has a class that there is not") from error
    if len(frequencies) and not frequencies.min():
        raise PackError(f"{what} has integers that its tables do not know")
    return replace(plan, symbols=len(frequencies))


def _folded(values: Integers, head: Head) -> Words:
    """What is coded of integers."""
    if head.prediction is None:
        return fold(values, head.middle)
    distances = (values.view(np.uint32) - np.uint32(head.middle)).view(np.int32)
    return fold(head.prediction.left(distances), 0)


def _most(classes: Classes) -> int:
    """The last table that is needed."""
    most = [1 if x is None or not len(x) else int(x.max()) for x in (classes.rows, classes.columns)]
    return max(0, sum(most) - 2)


def mixed_head(data: bytes, what: str) -> bytes:
    """The fields of a mixed block.

    Raises:
        PackError: They cannot be.
    """
    fields = FieldReader(data, what)
    read_mixed_head(fields)
    return data[: fields.at]


def mixed_again(values: Integers, columns: int, head: bytes, what: str) -> bytes:
    """A mixed block, of its integers and fields.

    Raises:
        PackError: The fields do not suit the integers.
    """
    fields = FieldReader(head, what)
    found = read_mixed_head(fields)
    fields.end()
    if not len(values) or not is_possible(found, shape_of(len(values), columns)):
        raise PackError(f"{what} has fields that do not suit its integers")
    native = native_mixing()
    if native is None:
        return encode_mixed(values, columns, found)
    made = native.encode(values, columns, found, _MOST_BYTES * len(values) + 64)
    if made is None:
        raise PackError(f"{what} takes more bytes than it should")
    return made
