"""Rows and columns in classes by how far their integers are from the middle.

The class of an integer's row and that of its column, added up, choose its table. Class 0 is dead:
all its integers are in the middle, and none of them is coded.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from lilliput.pack.tokens import Alphabet

__all__ = ["LINES", "MOST_CLASSES", "MOST_LINES", "Classes", "Spread", "Way", "shape_of"]

MOST_CLASSES = 32
"""Besides the dead."""
MOST_LINES = 1 << 16
"""Rows, or columns, that may have classes."""
LINES = Alphabet(MOST_CLASSES + 1)
"""Of the classes themselves."""
_ROUNDS = 2

Lines = npt.NDArray[np.uint8]
Distances = npt.NDArray[np.float32]


def shape_of(count: int, columns: int) -> tuple[int, int]:
    """Rows and columns of a block: one row where rows would not be whole."""
    rows = count // columns
    return (rows, columns) if rows * columns == count else (1, count)


@dataclass(frozen=True)
class Way:
    """How lines are put into classes.

    Args:
        has_rows: Whether rows differ in class.
        has_columns: Whether columns do.
        steps: Classes for each doubling of the mean distance.
    """

    has_rows: bool
    has_columns: bool
    steps: int


@dataclass(frozen=True, eq=False)
class Classes:
    """Of a block.

    Args:
        rows: The class of each row; None where all are of class 1.
        columns: Likewise.
    """

    rows: Lines | None
    columns: Lines | None

    @property
    def tables(self) -> int:
        """Sums of two classes that there can be."""
        both = (self.rows, self.columns)
        most = [1 if lines is None else max(1, int(lines.max())) for lines in both]
        return sum(most) - 1

    def places(self, rows: int, columns: int) -> npt.NDArray[np.intp]:
        """The table of each integer that is coded, in order."""
        tables, is_coded = self.grid(rows, columns)
        return tables[is_coded].astype(np.intp)

    def grid(self, rows: int, columns: int) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.bool_]]:
        """The table of each integer, and whether it is coded, of shape (rows, columns)."""
        by_row = np.ones(rows, np.int16) if self.rows is None else self.rows.astype(np.int16)
        by_column = (
            np.ones(columns, np.int16) if self.columns is None else self.columns.astype(np.int16)
        )
        is_coded = (by_row > 0)[:, None] & (by_column > 0)
        return by_row[:, None] + by_column - 2, is_coded


@dataclass(frozen=True, eq=False)
class Spread:
    """How far the integers of a block's rows and columns are from the middle.

    Args:
        alive_rows: Whether a row has an integer that is not the middle.
        alive_columns: Likewise.
        part: Distances of what is alive in both.
    """

    alive_rows: npt.NDArray[np.bool_]
    alive_columns: npt.NDArray[np.bool_]
    part: Distances
    _levels: dict[tuple[bool, bool], tuple[Distances, Distances]] = field(default_factory=dict)

    @classmethod
    @np.errstate(invalid="ignore")  # BLAS may say so of what lies beside the numbers
    def of(cls, distances: Distances) -> "Spread":
        """The spread of distances, of shape (rows, columns)."""
        rows = distances @ np.ones(distances.shape[1], np.float32) > 0
        columns = np.ones(distances.shape[0], np.float32) @ distances > 0
        is_whole = rows.all() and columns.all()
        return cls(rows, columns, distances if is_whole else distances[rows][:, columns])

    def classes(self, way: Way) -> Classes:
        """Rows and columns in classes by how far their integers are from the middle."""
        lines = (way.has_rows, way.has_columns)
        if lines not in self._levels:
            self._levels[lines] = self._found(*lines)
        by_row, by_column = self._levels[lines]
        return Classes(
            _lines(by_row if way.has_rows else None, self.alive_rows, way.steps),
            _lines(by_column if way.has_columns else None, self.alive_columns, way.steps),
        )

    @np.errstate(invalid="ignore")
    def _found(self, has_rows: bool, has_columns: bool) -> tuple[Distances, Distances]:
        """Logarithms to base 2 of rows' and columns' mean distances; together they explain each.

        Both lie around 0.
        """
        part = self.part
        by_row = np.zeros(part.shape[0], np.float32)
        by_column = np.zeros(part.shape[1], np.float32)
        if not part.size:
            return by_row, by_column
        for _ in range(_ROUNDS if has_rows and has_columns else 1):
            if has_rows:
                by_row = np.log2(part @ np.exp2(-by_column) / part.shape[1] + 1e-6)
            if has_columns:
                by_column = np.log2(np.exp2(-by_row) @ part / part.shape[0] + 1e-6)
        return _centred(by_row), _centred(by_column)


def _centred(levels: Distances) -> Distances:
    """Around their median."""
    found: Distances = levels - np.sort(levels)[len(levels) // 2]
    return found


def _lines(levels: Distances | None, is_alive: npt.NDArray[np.bool_], steps: int) -> Lines | None:
    """Classes from 1 on for those alive; None where there is nothing to tell."""
    if levels is None and is_alive.all():
        return None
    found = np.zeros(len(is_alive), np.uint8)
    if levels is None or not len(levels):
        found[is_alive] = 1
        return found
    places = np.rint(levels * steps).clip(-MOST_CLASSES // 2, MOST_CLASSES // 2 - 1)
    lowest, highest = places.min(), places.max()
    if len(levels) == len(found):
        return (places - (lowest - 1)).astype(np.uint8) if lowest < highest else None
    found[is_alive] = (places - (lowest - 1)).astype(np.uint8)
    return found
