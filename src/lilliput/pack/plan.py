"""A block that is ready to be coded, and its code in NumPy.

`encoder/encode.c` makes the same bytes of a plan, faster.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lilliput.pack.classes import LINES, Classes, Way
from lilliput.pack.fields import FieldWriter
from lilliput.pack.fitting import fitted
from lilliput.pack.predict import Prediction, write_prediction
from lilliput.pack.rans import encode, lanes_for
from lilliput.pack.tables import Counts, Table, write_table
from lilliput.pack.tokens import Alphabet, Words, chunks

__all__ = ["Method", "Plan", "encode_plans", "planned", "symbols_of"]


@dataclass(frozen=True, eq=False)
class Method:
    """How a block is coded.

    Args:
        middle: What its integers lie around.
        prediction: Of their distances from it, if there is one.
        alphabet: Of what is left.
        classes: Of its rows and columns.
        way: How they were found.
    """

    middle: int
    prediction: Prediction | None
    alphabet: Alphabet
    classes: Classes
    way: Way


@dataclass(frozen=True, eq=False)
class Plan:
    """A block that is ready to be coded.

    Args:
        method: How.
        tables: For each sum of two classes.
        frequencies: Of their tokens, of shape (tables, tokens).
        lines: Frequencies of the classes of rows, and of columns, where they have some.
        folded: The integers, folded, of shape (rows, columns).
        tokens: Of the integers.
        head: What stands before the code.
        symbols: How many there are to code.
        lanes: Coders that take turns.
    """

    method: Method
    tables: tuple[Table, ...]
    frequencies: Counts
    lines: tuple[Counts | None, Counts | None]
    folded: Words
    tokens: npt.NDArray[np.uint8]
    head: bytes
    symbols: int
    lanes: int


def planned(
    folded: Words,
    tokens: npt.NDArray[np.uint8],
    method: Method,
    counts: Counts,
    tables: Sequence[Table] | None = None,
) -> Plan:
    """A plan with the tables that suit it.

    Args:
        folded: The integers, folded, of shape (rows, columns).
        tokens: Of them.
        method: How they are coded.
        counts: How often each token occurs, table by table.
        tables: Others than the cheapest.
    """
    lines = [one for one in (method.classes.rows, method.classes.columns) if one is not None]
    found, frequencies, line_tables, said = _fitted(counts, method.alphabet, lines)
    if tables is not None:
        found = list(tables)
        frequencies = np.stack([table.frequencies(method.alphabet) for table in tables])
    rest = iter(said)
    both = (
        None if method.classes.rows is None else next(rest),
        None if method.classes.columns is None else next(rest),
    )
    symbols = sum(map(len, lines)) + _symbols_in(counts, method.alphabet)
    bits = _bits_in(counts, frequencies) + float(counts.sum(0) @ method.alphabet.bits)
    bits += sum(
        _bits_in(np.bincount(x, minlength=len(f)), f) for x, f in zip(lines, said, strict=True)
    )
    lanes = lanes_for(symbols, bits)
    head = _head(method, line_tables, found, lanes)
    return Plan(method, tuple(found), frequencies, both, folded, tokens, head, symbols, lanes)


def _symbols_in(counts: Counts, alphabet: Alphabet) -> int:
    """Tokens, and pieces of raw bits."""
    pieces = -(-alphabet.bits.astype(np.int64) // 12)
    return int(counts.sum() + (counts @ pieces).sum())


def _bits_in(counts: Counts, frequencies: Counts) -> float:
    return float((counts * (12 - np.log2(np.maximum(frequencies, 1)))).sum())


def _fitted(
    counts: Counts, alphabet: Alphabet, lines: Sequence[npt.NDArray[np.uint8]]
) -> tuple[list[Table], Counts, list[Table], Counts]:
    """Tables of tokens and of classes of lines, and their frequencies.

    Both are found at once where direct tokens are as many as classes may be.
    """
    size, count = LINES.size, len(counts)
    times = np.array([np.bincount(one, minlength=size) for one in lines], np.int64)
    times = times.reshape(-1, size)
    if alphabet.classes and alphabet.direct < size:
        return *fitted(counts, alphabet), *fitted(times, LINES)
    both = alphabet if alphabet.classes else Alphabet(max(size, alphabet.size))
    whole = np.zeros((count + len(times), both.size), np.int64)
    whole[:count, : alphabet.size], whole[count:, :size] = counts, times
    tables, found = fitted(whole, both)
    return tables[:count], found[:count, : alphabet.size], tables[count:], found[count:, :size]


def _head(
    method: Method, line_tables: Sequence[Table], tables: Sequence[Table], lanes: int
) -> bytes:
    alphabet, classes = method.alphabet, method.classes
    out = FieldWriter()
    out.number(lanes)
    out.number(method.middle & 0xFFFFFFFF)
    write_prediction(out, method.prediction)
    out.number(alphabet.direct - 1)
    out.number(alphabet.steps)
    out.number(alphabet.classes)
    out.number((classes.rows is not None) + 2 * (classes.columns is not None))
    for table in line_tables:
        write_table(out, table)
    out.number(len(tables) - 1)
    for table in tables:
        write_table(out, table)
    return bytes(out.data)


def encode_plans(plans: Sequence[Plan]) -> list[bytes]:
    """The bytes of blocks; those with equally many coders are coded side by side."""
    found: dict[int, bytes] = {}
    for lanes in {plan.lanes for plan in plans}:
        places = [place for place, plan in enumerate(plans) if plan.lanes == lanes]
        codes = encode([symbols_of(plans[place]) for place in places], lanes)
        for place, code in zip(places, codes, strict=True):
            found[place] = plans[place].head + code
    return [found[place] for place in range(len(plans))]


def symbols_of(plan: Plan) -> tuple[Words, Words]:
    """Frequencies and starts, symbol by symbol."""
    classes, alphabet = plan.method.classes, plan.method.alphabet
    shape = plan.folded.shape
    parts = [
        _looked_up(own[None], np.zeros(len(lines), np.intp), lines)
        for lines, own in zip((classes.rows, classes.columns), plan.lines, strict=True)
        if lines is not None and own is not None
    ]
    is_coded = classes.grid(*shape)[1]
    tokens = plan.tokens[is_coded]
    parts.append(_looked_up(plan.frequencies, classes.places(*shape), tokens))
    if alphabet.classes:
        parts.append(_raw(plan.folded[is_coded], tokens, alphabet))
    frequencies, starts = (np.concatenate(column) for column in zip(*parts, strict=True))
    return frequencies, starts


def _looked_up(
    frequencies: Counts, which: npt.NDArray[np.intp], tokens: npt.NDArray[np.uint8]
) -> tuple[Words, Words]:
    starts = np.cumsum(frequencies, 1) - frequencies
    places = which * frequencies.shape[1] + tokens
    return (
        frequencies.astype(np.uint32).reshape(-1)[places],
        starts.astype(np.uint32).reshape(-1)[places],
    )


def _raw(folded: Words, tokens: npt.NDArray[np.uint8], alphabet: Alphabet) -> tuple[Words, Words]:
    """The raw bits that follow tokens, as symbols: 12 at once, the lowest first."""
    bits = alphabet.bits[tokens]
    far = bits > 0
    sizes, owners, shifts = chunks(bits[far])
    rest = (folded[far] - alphabet.bases[tokens[far]])[owners]
    values = (rest >> shifts) & ((np.uint32(1) << sizes) - np.uint32(1))
    left = np.uint32(12) - sizes
    return np.uint32(1) << left, values << left
