"""A block that is ready to be coded, and its code in NumPy.

`encoder/encode.c` makes the same bytes of a plan, faster.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from lilliput.pack.classes import LINES, Classes, Lines, Way
from lilliput.pack.fields import FieldWriter
from lilliput.pack.fitting import Fitted, fitted_parts
from lilliput.pack.predict import Prediction, write_prediction
from lilliput.pack.rans import encode, lanes_for
from lilliput.pack.tables import Counts, Table, write_table
from lilliput.pack.tokens import Alphabet, Words, chunks

__all__ = ["Draft", "Method", "Plan", "encode_plans", "plan_with", "planned", "symbols_of"]


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


@dataclass(frozen=True, eq=False)
class Draft:
    """A block of which is known how it is coded, but for its tables.

    Args:
        method: How.
        counts: How often each token occurs, table by table.
        folded: The integers, folded, of shape (rows, columns).
        tokens: Of the integers.
    """

    method: Method
    counts: Counts
    folded: Words
    tokens: npt.NDArray[np.uint8]

    @cached_property
    def symbols(self) -> int:
        """Classes of lines, tokens, and pieces of raw bits."""
        pieces = -(-self.method.alphabet.bits.astype(np.int64) // 12)
        return sum(map(len, self.lines)) + int(self.counts.sum() + (self.counts @ pieces).sum())

    @property
    def lines(self) -> list[Lines]:
        """Classes of rows and of columns, where they have some."""
        both = (self.method.classes.rows, self.method.classes.columns)
        return [lines for lines in both if lines is not None]

    def times(self) -> list[Counts]:
        """How often each of these classes occurs."""
        return [np.bincount(lines, minlength=LINES.size)[None] for lines in self.lines]


def planned(drafts: Sequence[Draft]) -> list[Plan]:
    """Plans with the tables that suit them, which are found for all blocks at once."""
    parts = [(draft.method.alphabet, draft.counts) for draft in drafts]
    parts += [(LINES, times) for draft in drafts for times in draft.times()]
    found = fitted_parts(parts)
    of_lines = iter(found[len(drafts) :])
    return [
        plan_with(draft, tokens, [next(of_lines) for _ in draft.lines])
        for draft, tokens in zip(drafts, found[: len(drafts)], strict=True)
    ]


def plan_with(draft: Draft, tokens: Fitted, lines: Sequence[Fitted]) -> Plan:
    """The plan of a block.

    Args:
        draft: Without tables.
        tokens: Its tables.
        lines: Those of the classes of its lines, where they have some.
    """
    method = draft.method
    bits = _bits_in(draft.counts, tokens[1]) + float(draft.counts.sum(0) @ method.alphabet.bits)
    bits += sum(_bits_in(x, said) for x, (_, said) in zip(draft.times(), lines, strict=True))
    rest = iter(said[0] for _, said in lines)
    by_row = None if method.classes.rows is None else next(rest)
    by_column = None if method.classes.columns is None else next(rest)
    lanes = lanes_for(draft.symbols, bits)
    head = _head(method, [tables[0] for tables, _ in lines], tokens[0], lanes)
    return Plan(
        method,
        tuple(tokens[0]),
        tokens[1],
        (by_row, by_column),
        draft.folded,
        draft.tokens,
        head,
        draft.symbols,
        lanes,
    )


def _bits_in(counts: Counts, frequencies: Counts) -> float:
    return float((counts * (12 - np.log2(np.maximum(frequencies, 1)))).sum())


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
