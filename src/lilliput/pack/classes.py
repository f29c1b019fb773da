"""Rows and columns in classes by how far their integers are from the middle.

The class of an integer's row and that of its column, added up, choose its table. Class 0 is dead:
all its integers are in the middle, and none of them is coded.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["MOST_CLASSES", "MOST_LINES", "Classes", "Way", "in_classes", "ways"]

MOST_CLASSES = 32
"""Besides the dead."""
MOST_LINES = 1 << 16
"""Rows, or columns, that may have classes."""
_ROUNDS = 2

Lines = npt.NDArray[np.uint8]
Distances = npt.NDArray[np.float32]


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


def ways(rows: int, columns: int) -> Iterator[Way]:
    """All that are worth trying."""
    yield Way(False, False, 1)
    for has_rows, has_columns in ((True, False), (False, True), (True, True)):
        if (has_rows and rows < 2) or (has_columns and columns < 2):
            continue
        for steps in (1, 2, 4):
            yield Way(has_rows, has_columns, steps)


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
        most = [1 if lines is None else max(1, int(lines.max())) for lines in self._both]
        return sum(most) - 1

    @property
    def _both(self) -> tuple[Lines | None, Lines | None]:
        return self.rows, self.columns

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


def in_classes(distances: Distances, way: Way) -> Classes:
    """Puts the rows and columns of a block into classes.

    Args:
        distances: From the middle, of shape (rows, columns).
        way: Which, and how finely.
    """
    alive_rows = np.asarray(distances.any(1))
    alive_columns = np.asarray(distances.any(0))
    part = distances[alive_rows][:, alive_columns]
    by_row, by_column = _levels(part, way)
    return Classes(
        _lines(by_row if way.has_rows else None, alive_rows, way.steps),
        _lines(by_column if way.has_columns else None, alive_columns, way.steps),
    )


def _levels(part: Distances, way: Way) -> tuple[Distances, Distances]:
    """Logarithms to base 2 of rows' and columns' mean distances; together they explain each."""
    by_row = np.zeros(part.shape[0], np.float32)
    by_column = np.zeros(part.shape[1], np.float32)
    if not part.size:
        return by_row, by_column
    for _ in range(_ROUNDS if way.has_rows and way.has_columns else 1):
        if way.has_rows:
            by_row = np.log2(part @ np.exp2(-by_column) / part.shape[1] + 1e-6)
        if way.has_columns:
            by_column = np.log2(np.exp2(-by_row) @ part / part.shape[0] + 1e-6)
    return by_row, by_column


def _lines(levels: Distances | None, is_alive: npt.NDArray[np.bool_], steps: int) -> Lines | None:
    """Classes from 1 on for those alive; None where there is nothing to tell."""
    if levels is None and is_alive.all():
        return None
    found = np.zeros(len(is_alive), np.uint8)
    if levels is None or not len(levels):
        found[is_alive] = 1
        return found
    places = np.rint((levels - np.median(levels)) * steps)
    places = np.clip(places, -MOST_CLASSES // 2, MOST_CLASSES // 2 - 1)
    found[is_alive] = (places - places.min() + 1).astype(np.uint8)
    return found if len(np.unique(found)) > 1 else None
