"""Each column of a block foretold from those before it, by regression over the rows so far.

The oracle of `decoder/regression.c`: the same integers. Products of columns are added up; now and
then they are split as L D L^T, with a ridge that fades as rows come, and row j of L says how
column j follows from what was surprising in the columns before it.

Source: Golub and Van Loan, "Matrix Computations", 4.1, for the factorization; Hoerl and Kennard
1970, "Ridge regression", for the ridge.
"""

import numpy as np
import numpy.typing as npt

__all__ = ["BATCH", "MOST_REGRESSORS", "Regression"]

Numbers = npt.NDArray[np.int64]

MOST_REGRESSORS = 512
BATCH = 32
"""Rows after which products are added."""
_MOST_SEEN, _MOST_SURPRISE, _MOST_WEIGHT = 2047, 8191, 16383
_MOST_FACTOR = 1 << 25
_MOST_REST = (1 << 31) - 1


def _shifted(values: Numbers, shifts: Numbers) -> Numbers:
    """Divided by powers of two, and rounded down."""
    found: Numbers = np.where(
        shifts < 0, values << np.maximum(-shifts, 0), values >> np.maximum(shifts, 0)
    )
    return found


class Regression:
    """Learns as rows go by.

    Args:
        columns: In a row.
    """

    def __init__(self, columns: int) -> None:
        self._products = np.zeros((columns, columns), np.int64)
        self._weights = np.zeros((columns, columns), np.int64)
        self._batch = np.zeros((BATCH, columns), np.int64)
        self._surprises = np.zeros(columns, np.int64)
        self._rows, self._next_fit = 0, BATCH

    def foretold(self, column: int) -> int:
        """What is foretold of a column, in 256ths."""
        found = int(self._weights[column, :column] @ self._surprises[:column]) & 0xFFFFFFFF
        return (found - ((found >> 31) << 32)) >> 8

    def saw(self, column: int, value: int, foretold: int) -> None:
        """Takes in what the column was."""
        surprise = 16 * value - (foretold >> 4)
        self._surprises[column] = max(-_MOST_SURPRISE, min(surprise, _MOST_SURPRISE))
        self._batch[self._rows % BATCH, column] = max(-_MOST_SEEN, min(value, _MOST_SEEN))

    def end_row(self) -> None:
        """Ends a row."""
        self._rows += 1
        if self._rows % BATCH:
            return
        self._products += self._batch.T @ self._batch
        if self._rows >= self._next_fit:
            self._fit()
            self._next_fit = self._rows + max(BATCH, self._rows // 4, len(self._products) // 8)

    def _fit(self) -> None:
        count = len(self._products)
        squares = np.diag(self._products)
        digits = np.frexp(squares.astype(np.float64))[1] - 1  # exact: they are below 2^53
        shifts = np.where(squares > 0, (digits + 4) // 2 - 14, 0).astype(np.int64)
        rests = _shifted(self._products, shifts[:, None] + shifts)
        own = np.where(np.diag(rests) != 0, np.diag(rests), 1 << 24)
        np.fill_diagonal(rests, own + own * count // self._rows)
        factors = np.zeros_like(rests)
        for column in range(count):
            known = factors[column:, :column] @ rests[column, :column]
            rest = np.clip(rests[column:, column] - (known >> 20), -_MOST_REST, _MOST_REST)
            rest[0] = max(int(rest[0]), 1 << 10)
            rests[column:, column] = rest
            size = (np.abs(rest[1:]) << 20) // rest[0]
            factors[column + 1 :, column] = np.clip(
                np.sign(rest[1:]) * size, -_MOST_FACTOR, _MOST_FACTOR
            )
        weights = _shifted(factors, 8 + shifts - shifts[:, None])
        self._weights = np.clip(weights, -_MOST_WEIGHT, _MOST_WEIGHT)
