"""Blocks of form 3: each integer as decisions whose probabilities are mixed from all that is known.

The oracle of `decoder/mixing.c`, and its stand-in where no compiler is: the same bytes, about a
thousand times slower. `docs/format.md` describes them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lilliput.core import PackError
from lilliput.pack.bank import tails
from lilliput.pack.classes import shape_of
from lilliput.pack.fields import FieldReader, FieldWriter
from lilliput.pack.mixer import Mean, Mixer, approached, logarithm
from lilliput.pack.range_coder import BitCoder, BitDecoder, BitEncoder
from lilliput.pack.regression import MOST_REGRESSORS, Regression
from lilliput.pack.tokens import Integers

__all__ = [
    "CHEAPEST",
    "FARTHEST",
    "MOST_COLUMNS",
    "Head",
    "check_mixed",
    "decode_mixed",
    "encode_mixed",
    "is_possible",
    "read_mixed_head",
]

MOST_COLUMNS = 1 << 16
CHEAPEST = 64
"""Integers for each byte of a block, at most: so the time that it takes is bounded by its bytes."""
FARTHEST = 1 << 22
_NEIGHBOURS = 4
_ONE = 1 << 24
_MOST_SURPRISE = 1 << 24
_MOST_TIMES, _MOST_LINE = 1000, 250
_LEAST_SPREAD = 8
_SHAPES = (3, 4, 4)
"""Of densities: normal ones, and a first with a longer tail."""
_LEARNED_BITS = 3
"""Of a magnitude, below its leading one."""


@dataclass(frozen=True)
class Head:
    """What a block says before its code.

    Args:
        middle: What its integers lie around.
        is_turned: Whether they are coded column by column.
        group: How many columns side by side are foretold from those before among them; 0 for none.
        neighbours: How far back, in the order of coding, integers are that tell of another.
    """

    middle: int
    is_turned: bool
    group: int
    neighbours: tuple[int, int, int, int]

    @property
    def fields(self) -> bytes:
        """As they are written."""
        out = FieldWriter()
        out.number(self.middle & 0xFFFFFFFF)
        out.number(self.is_turned)
        out.number(self.group)
        for distance in self.neighbours:
            out.number(distance - 1)
        return bytes(out.data)


def read_mixed_head(fields: FieldReader) -> Head:
    """What a block says before its code.

    Raises:
        PackError: It cannot be, or is cut off.
    """
    middle, is_turned = fields.number(0xFFFFFFFF), bool(fields.number(1))
    group = fields.number(MOST_REGRESSORS)
    first, second, third, fourth = (1 + fields.number(FARTHEST - 1) for _ in range(_NEIGHBOURS))
    return Head(middle, is_turned, group, (first, second, third, fourth))


def is_possible(head: Head, shape: tuple[int, int]) -> bool:
    """Whether a block of so many rows and columns can be coded so."""
    columns = shape[0 if head.is_turned else 1]
    is_whole = not head.group or columns % head.group == 0
    return is_whole and head.group <= MOST_REGRESSORS and columns <= MOST_COLUMNS


def check_mixed(size: int, count: int, what: str) -> None:
    """Makes sure that a block's time is bounded by its bytes.

    Args:
        size: Bytes of the block, without the one that says its form.
        count: Integers in it.
        what: Which block it is, for errors.

    Raises:
        PackError: There are too few bytes.
    """
    if count > CHEAPEST * size:
        raise PackError(
            f"{what} mixes {count:,} integers in {size:,} bytes; at most {CHEAPEST} may be in one"
        )


def decode_mixed(data: bytes, count: int, columns: int, what: str) -> Integers:
    """The integers of a block.

    Args:
        data: The block.
        count: Integers in it.
        columns: Integers in a row.
        what: Which block it is, for errors.

    Raises:
        PackError: The block is damaged.
    """
    check_mixed(len(data), count, what)
    fields = FieldReader(data, what)
    head = read_mixed_head(fields)
    shape = shape_of(count, columns)
    if not is_possible(head, shape):
        raise PackError(f"{what} has rows of {shape[1]:,} integers, which cannot be mixed so")
    coder = BitDecoder(data[fields.at :], what)
    found = _coded(coder, head, np.zeros(shape, np.int64))
    coder.end()
    return (found + head.middle).astype(np.uint32).view(np.int32).reshape(-1)


def encode_mixed(values: Integers, columns: int, head: Head) -> bytes:
    """The block's bytes.

    Args:
        values: Its integers.
        columns: In a row.
        head: How they are coded; it must be possible.
    """
    coder = BitEncoder()
    apart = (values.view(np.uint32) - np.uint32(head.middle & 0xFFFFFFFF)).view(np.int32)
    _coded(coder, head, apart.astype(np.int64).reshape(shape_of(len(values), columns)))
    return head.fields + coder.end()


def _coded(
    coder: BitCoder, head: Head, distances: np.ndarray[tuple[int, ...], np.dtype[np.int64]]
) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Codes distances from the middle; gives them."""
    turned = distances.T if head.is_turned else distances
    rows, columns = turned.shape
    size = head.group or 1
    regression = Regression(size) if head.group else None
    seen: list[int] = []
    model = _Model(coder, columns, size)
    for row in range(rows):
        model.begin_row(row)
        for column in range(columns):
            near = [
                max(-3, min(seen[-distance], 3)) + 3 if distance <= len(seen) else 3
                for distance in head.neighbours
            ]
            place = column % size
            foretold = regression.foretold(place) if regression else 0
            value = model.integer(column, foretold, near, int(turned[row, column]))
            seen.append(value)
            if regression:
                regression.saw(place, value, foretold)
                if place + 1 == size and len(seen) < turned.size:
                    regression.end_row()
    found = np.array(seen, np.int64).reshape(rows, columns)
    return found.T if head.is_turned else found


class _Model:
    """What is known of integers."""

    def __init__(self, coder: BitCoder, columns: int, size: int) -> None:
        self._mixer = Mixer(coder)
        self._size = size
        self._all: Mean = (1024, 0)
        self._row: Mean = (1024, 1)
        self._columns: list[Mean] = [(0, 0)] * columns
        self._groups: list[Mean] = [(0, 0)] * columns
        self._places: list[Mean] = [(0, 0)] * size

    def begin_row(self, row: int) -> None:
        self._row = (self._all[0], 1)
        self._is_first = not row

    def integer(self, column: int, foretold: int, near: list[int], value: int) -> int:
        """Codes one, and learns of it."""
        group, place = divmod(column, self._size)
        if self._is_first:
            self._begin(column, group, place)
        whole, row, own = self._all[0], self._row[0], self._columns[column][0]
        fine = _part(_part(row, self._places[place][0], whole), self._groups[group][0], whole)
        sides = [
            _Sides(shape, foretold, (1 << 36) // max(spread, _LEAST_SPREAD))
            for shape, spread in zip(_SHAPES, (fine, row, own), strict=True)
        ]
        wide = _quarters(row + 1) + _quarters(own + 1) - 2 * _quarters(whole + 1)
        self._mixer.set = 1 + (max(-24, min(wide, 24)) + 24) // 2
        rounded = (abs(foretold) + 32) // 64
        third = max(-31, min(rounded if foretold >= 0 else -rounded, 31)) + 31
        self._mixer.contexts = [7 * near[0] + near[1], 7 * near[2] + near[3], third]
        value = _signed(self._distance(sides, value))
        surprise = min(abs(256 * value - foretold), _MOST_SURPRISE)
        self._all = approached(self._all, surprise, _MOST_TIMES)
        self._row = approached(self._row, surprise, _MOST_LINE)
        for means, at in ((self._columns, column), (self._groups, group), (self._places, place)):
            means[at] = approached(means[at], surprise, _MOST_LINE)
        return value

    def _begin(self, column: int, group: int, place: int) -> None:
        """What is met for the first time is spread as all are."""
        start = (self._all[0], 1)
        self._columns[column] = start
        if not place:
            self._groups[group] = start
        if not group:
            self._places[place] = start

    def _distance(self, sides: "list[_Sides]", value: int) -> int:
        """Codes a distance from the middle; gives it modulo 2^32."""
        masses = [side.both(1) for side in sides]
        odds = [_odds(mass, _ONE - mass) for mass in masses]
        if not self._mixer.learned(0, 0, odds, value != 0):
            return 0
        magnitude = self._rest(sides, abs(value), *self._digits(sides, abs(value), masses))
        odds = [
            _odds(
                side.lower(magnitude) - side.lower(magnitude + 1),
                side.upper(magnitude) - side.upper(magnitude + 1),
            )
            for side in sides
        ]
        node, kind = 144 + min(magnitude, 8), 7 + min(magnitude, 4)
        return -magnitude if self._mixer.learned(node, kind, odds, value < 0) else magnitude

    def _digits(
        self, sides: "list[_Sides]", magnitude: int, masses: list[int]
    ) -> tuple[int, list[int], list[int]]:
        """Codes how many binary digits follow the leading one.

        Gives it, and masses from the least such magnitude on, and beyond the largest.
        """
        wanted = max(0, magnitude.bit_length() - 1)
        for known in range(31):
            beyond = [side.both(2 << known) for side in sides]
            odds = [_odds(far, near - far) for far, near in zip(beyond, masses, strict=True)]
            if not self._mixer.learned(1 + known, 1 + min(known, 6), odds, known < wanted):
                return known, masses, beyond
            masses = beyond
        return 31, masses, [side.both(2 << 31) for side in sides]

    def _rest(
        self,
        sides: "list[_Sides]",
        magnitude: int,
        leading: int,
        masses: list[int],
        beyond: list[int],
    ) -> int:
        """Codes the digits below the leading one."""
        found = 1 << leading
        for depth, bit in enumerate(_bits(magnitude, leading)):
            half = found + (1 << (leading - depth - 1))
            middle = [side.both(half) for side in sides]
            odds = [
                _odds(inner - far, near - inner)
                for near, inner, far in zip(masses, middle, beyond, strict=True)
            ]
            if depth < _LEARNED_BITS:
                place = (min(leading, 15) << depth) + (found >> (leading - depth)) % (1 << depth)
                node = (32, 48, 80)[depth] + place
                kind = (12, 20, 28)[depth] + min(leading, (7, 7, 3)[depth])
                taken = self._mixer.learned(node, kind, odds, bit)
            else:
                taken = self._mixer.plain(odds[0], bit)
            if taken:
                masses, found = middle, half
            else:
                beyond = middle
        return found


def _bits(magnitude: int, count: int) -> Iterator[int]:
    """The lowest digits, the highest of them first."""
    return (magnitude >> place & 1 for place in range(count - 1, -1, -1))


def _signed(value: int) -> int:
    value &= 0xFFFFFFFF
    return value - ((value >> 31) << 32)


def _part(spread: int, other: int, whole: int) -> int:
    return min(spread * other // (whole + 1), _MOST_SURPRISE)


def _quarters(value: int) -> int:
    """Logarithm to base 2 in quarters."""
    if value < 4:
        return value
    digits = value.bit_length() - 1
    return 4 * (digits - 1) + (value >> (digits - 2) & 3)


def _odds(yes: int, no: int) -> int:
    return max(-2047, min(logarithm(max(yes, 1) + 4) - logarithm(max(no, 1) + 4), 2047))


@dataclass(frozen=True)
class _Sides:
    """A density's mass on both sides of 0, in units of 2^-24.

    Args:
        shape: Which of the bank.
        foretold: Its middle, in 256ths.
        inverse: Of its mean distance from there.
    """

    shape: int
    foretold: int
    inverse: int

    def upper(self, start: int) -> int:
        """Of integers from one on upwards."""
        return self._above(256 * start - 128 - self.foretold)

    def lower(self, start: int) -> int:
        """Of integers from the negative of one on downwards."""
        return self._above(256 * start - 128 + self.foretold)

    def both(self, start: int) -> int:
        """Of both."""
        return self.upper(start) + self.lower(start)

    def _above(self, point: int) -> int:
        at = min(abs(point), _MOST_SURPRISE) * self.inverse >> 16
        found = _tail(self.shape, at) // 2
        return _ONE - found if point < 0 else found


def _tail(shape: int, at: int) -> int:
    """Mass farther away than so many 2^-20 of the mean distance."""
    points = tails()[shape]
    if at >= 1 << 25:
        return 0
    if at < 4096:
        return _ONE - ((_ONE - int(points[0])) * at >> 12)
    digits = at.bit_length() - 1
    cell = (digits - 12) * 16 + (at >> (digits - 4)) - 16
    here, rest = int(points[cell]), at & ((1 << (digits - 4)) - 1)
    return here - ((here - int(points[cell + 1])) * rest >> (digits - 4))
