"""A block: what says how its integers were coded, then their code.

`decoder/block.c` reads the same bytes; `docs/format.md` describes them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lilliput.core import PackError
from lilliput.pack.classes import MOST_CLASSES, MOST_LINES, Classes, Way
from lilliput.pack.fields import FieldReader, FieldWriter
from lilliput.pack.rans import Decoder, encode, lanes_for
from lilliput.pack.tables import Table, fitted, read_table, write_table
from lilliput.pack.tokens import ALPHABET, Alphabet, Words, unfold

__all__ = [
    "LINES",
    "Head",
    "Integers",
    "Method",
    "Plan",
    "decode_block",
    "encode_plans",
    "planned",
    "read_classes",
    "read_head",
    "shape_of",
    "symbols_of",
]

Integers = npt.NDArray[np.int32]

_MOST_TABLES = 2 * MOST_CLASSES
_MOST_LANES = 64
LINES = Alphabet(MOST_CLASSES + 1)
"""The alphabet of the classes themselves."""
_CHUNK = 12
"""Raw bits that are coded at once."""


@dataclass(frozen=True, eq=False)
class Method:
    """How a block is coded.

    Args:
        middle: What its integers lie around.
        alphabet: Of their distances from it.
        classes: Of its rows and columns.
        tables: For each sum of two classes.
    """

    middle: int
    alphabet: Alphabet
    classes: Classes
    tables: tuple[Table, ...]


@dataclass(frozen=True, eq=False)
class Plan:
    """A block that is ready to be coded.

    Args:
        head: What stands before the code.
        frequencies: Of each symbol.
        starts: Of each symbol.
        alphabet: Of its tokens.
        way: How its lines were put into classes.
        lanes: Coders that take turns.
    """

    head: bytes
    frequencies: Words
    starts: Words
    alphabet: Alphabet
    way: Way
    lanes: int


@dataclass(frozen=True, eq=False)
class Head:
    """What stands before the code of a block.

    Args:
        lanes: Coders that take turns.
        middle: What its integers lie around.
        alphabet: Of their distances from it.
        line_tables: Of the classes of rows and of columns, where they have some.
        tables: Of tokens.
    """

    lanes: int
    middle: int
    alphabet: Alphabet
    line_tables: tuple[Table | None, Table | None]
    tables: tuple[Table, ...]


def shape_of(count: int, columns: int) -> tuple[int, int]:
    """Rows and columns of a block: one row where rows would not be whole."""
    rows = count // columns
    return (rows, columns) if rows * columns == count else (1, count)


def planned(folded: Words, method: Method, way: Way) -> Plan:
    """Writes the head, and looks each symbol's frequency up.

    Args:
        folded: Distances from the middle, of shape (rows, columns).
        method: How they are coded.
        way: What the plan says of it.
    """
    lines = [x for x in (method.classes.rows, method.classes.columns) if x is not None]
    line_tables = [fitted(np.bincount(x, minlength=LINES.size)[None], LINES)[0] for x in lines]
    frequencies, starts = symbols_of(folded, method, line_tables)
    lanes = lanes_for(len(frequencies), float((12 - np.log2(frequencies)).sum()))
    head = _head(method, line_tables, lanes)
    return Plan(head, frequencies, starts, method.alphabet, way, lanes)


def symbols_of(folded: Words, method: Method, line_tables: Sequence[Table]) -> tuple[Words, Words]:
    """The frequency and the start of each symbol of a block.

    Args:
        folded: Distances from the middle, of shape (rows, columns).
        method: How they are coded.
        line_tables: Of the classes that rows have, then of those that columns have.
    """
    alphabet, classes = method.alphabet, method.classes
    lines = [x for x in (classes.rows, classes.columns) if x is not None]
    symbols = [
        _looked_up([table], LINES, np.zeros(len(x), np.intp), x)
        for x, table in zip(lines, line_tables, strict=True)
    ]
    coded = folded[classes.grid(*folded.shape)[1]] if lines else folded.reshape(-1)
    tokens = alphabet.tokens(coded)
    symbols.append(_looked_up(method.tables, alphabet, classes.places(*folded.shape), tokens))
    if alphabet.classes:
        symbols.append(_raw(coded, tokens, alphabet))
    return (
        np.concatenate([pair[0] for pair in symbols]),
        np.concatenate([pair[1] for pair in symbols]),
    )


def _head(method: Method, line_tables: Sequence[Table], lanes: int) -> bytes:
    alphabet, classes = method.alphabet, method.classes
    out = FieldWriter()
    out.number(lanes)
    out.number(method.middle & 0xFFFFFFFF)
    out.number(alphabet.direct - 1)
    out.number(alphabet.steps)
    out.number(alphabet.classes)
    out.number((classes.rows is not None) + 2 * (classes.columns is not None))
    for table in line_tables:
        write_table(out, table)
    out.number(len(method.tables) - 1)
    for table in method.tables:
        write_table(out, table)
    return bytes(out.data)


def _looked_up(
    tables: Sequence[Table],
    alphabet: Alphabet,
    which: npt.NDArray[np.intp],
    tokens: npt.NDArray[np.uint8],
) -> tuple[Words, Words]:
    frequencies = np.stack([table.frequencies(alphabet) for table in tables])
    starts = np.cumsum(frequencies, 1) - frequencies
    places = which * alphabet.size + tokens
    return (
        frequencies.astype(np.uint32).reshape(-1)[places],
        starts.astype(np.uint32).reshape(-1)[places],
    )


def _raw(folded: Words, tokens: npt.NDArray[np.uint8], alphabet: Alphabet) -> tuple[Words, Words]:
    """The raw bits that follow tokens, as symbols: 12 at once, the lowest first."""
    bits = alphabet.bits[tokens]
    far = bits > 0
    sizes, owners, shifts = _chunks(bits[far])
    rest = (folded[far] - alphabet.bases[tokens[far]])[owners]
    values = (rest >> shifts) & ((np.uint32(1) << sizes) - np.uint32(1))
    left = np.uint32(_CHUNK) - sizes
    return np.uint32(1) << left, values << left


def _chunks(bits: Words) -> tuple[Words, npt.NDArray[np.intp], Words]:
    """Sizes of pieces of numbers of so many bits, whose they are, and where in them they are."""
    pieces = ((bits + np.uint32(_CHUNK - 1)) // np.uint32(_CHUNK)).astype(np.intp)
    owners = np.repeat(np.arange(len(bits)), pieces)
    first = np.repeat(np.cumsum(pieces) - pieces, pieces)
    shifts = ((np.arange(len(owners)) - first) * _CHUNK).astype(np.uint32)
    return np.minimum(bits[owners] - shifts, np.uint32(_CHUNK)), owners, shifts


def encode_plans(plans: Sequence[Plan]) -> list[bytes]:
    """The bytes of blocks; those with equally many coders are coded side by side."""
    found: dict[int, bytes] = {}
    for lanes in {plan.lanes for plan in plans}:
        places = [place for place, plan in enumerate(plans) if plan.lanes == lanes]
        codes = encode([(plans[p].frequencies, plans[p].starts) for p in places], lanes)
        for place, code in zip(places, codes, strict=True):
            found[place] = plans[place].head + code
    return [found[place] for place in range(len(plans))]


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
    return unfold(found, head.middle)


def read_head(fields: FieldReader, shape: tuple[int, int]) -> Head:
    """The fields of a block of so many rows and columns.

    Raises:
        PackError: They cannot be.
    """
    lanes = fields.number(_MOST_LANES)
    if lanes < 1 or lanes & (lanes - 1):
        raise PackError(f"{fields.what} says {lanes} coders")
    middle = fields.number(0xFFFFFFFF)
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
    return Head(lanes, middle, alphabet, (by_row, by_column), tables)


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
    sizes, owners, shifts = _chunks(bits)
    pieces = decoder.raw(sizes) << shifts
    found = np.zeros(len(bits), np.uint32)
    np.add.at(found, owners, pieces)
    return found
