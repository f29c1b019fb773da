"""Taps of a filter told from the taps before them, as far as neighbours resemble one another.

Each integer's distance from the middle is predicted as a sum of those of earlier taps of its
filter, times weights in units of 1/32, and only what is left is coded.

Source: Makhoul 1975, "Linear prediction: a tutorial review".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isqrt

import numpy as np
import numpy.typing as npt

from lilliput.core import PackError
from lilliput.pack.fields import FieldReader, FieldWriter
from lilliput.pack.tokens import Words

__all__ = [
    "MOST_TAPS",
    "Kernel",
    "Prediction",
    "fitted_prediction",
    "read_prediction",
    "write_prediction",
]

MOST_TAPS = 64
_MOST_STRIDE = 1 << 22
_SHIFT = 5
_LARGEST = 127
_FEW_TAPS = 16
"""As many are all told from all before them."""

Distances = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Kernel:
    """Where the taps of a filter are.

    Args:
        taps: 2 to 64.
        stride: From one to the next; as many filters lie side by side.
    """

    taps: int
    stride: int = 1

    @property
    def size(self) -> int:
        """Integers of the filters that lie side by side."""
        return self.taps * self.stride


@dataclass(frozen=True)
class Prediction:
    """How taps are predicted.

    Args:
        kernel: Where they are.
        reach: How many before a tap count for it.
        weights: Of each tap but the first, those of the taps before it, the nearest first, in
            units of 1/32.
    """

    kernel: Kernel
    reach: int
    weights: tuple[tuple[int, ...], ...]

    def left(self, distances: Distances) -> Distances:
        """What is left of distances when the prediction is taken away, modulo 2^32."""
        kernel = self.kernel
        sums = _whole(self.matrix @ _by_tap(distances, kernel))
        in_order = sums.reshape(kernel.taps, -1, kernel.stride).transpose(1, 0, 2)
        sums = np.ascontiguousarray(in_order).reshape(-1)
        return _turned(distances.view(np.uint32) - _rounded(sums), sums).view(np.int32)

    def restored(self, left: Distances) -> Distances:
        """The distances again."""
        kernel, matrix = self.kernel, self.matrix
        found = left.copy().view(np.uint32).reshape(-1, kernel.taps, kernel.stride)
        for tap in range(kernel.taps):
            before = found[:, :tap].view(np.int32).astype(np.float64)
            sums = _whole(np.einsum("t,gts->gs", matrix[tap, :tap], before))
            found[:, tap] = _rounded(sums) + _turned(found[:, tap], sums)
        return found.reshape(-1).view(np.int32)

    @cached_property
    def matrix(self) -> Floats:
        """Weights from tap to tap; as doubles, for sums of such integers are exact in them."""
        found = np.zeros((self.kernel.taps, self.kernel.taps))
        for tap, own in enumerate(self.weights, 1):
            found[tap, tap - len(own) : tap] = own[::-1]
        return found

    @cached_property
    def fields(self) -> bytes:
        """As blocks say it."""
        out = FieldWriter()
        for number in (self.kernel.taps - 1, self.kernel.stride, self.reach):
            out.number(number)
        for own in self.weights:
            for weight in own:
                out.number(2 * weight if weight >= 0 else -2 * weight - 1)
        return bytes(out.data)


def _by_tap(distances: Distances, kernel: Kernel) -> Floats:
    """Distances, one row for each tap."""
    apart = distances.reshape(-1, kernel.taps, kernel.stride).transpose(1, 0, 2)
    return apart.astype(np.float64, order="C").reshape(kernel.taps, -1)


def _whole(sums: Floats) -> Words:
    """Whole numbers modulo 2^32."""
    found: Words = sums.astype(np.int64).astype(np.uint32)
    return found


def _rounded(sums: Words) -> Words:
    """Sums over 32, to the nearest; halves up."""
    found: Words = ((sums + np.uint32(16)).view(np.int32) >> _SHIFT).view(np.uint32)
    return found


def _turned(left: Words, sums: Words) -> Words:
    """With the other sign where sums were rounded up: so more is above 0 than below."""
    is_up = np.uint32(0) - ((sums >> np.uint32(_SHIFT - 1)) & np.uint32(1))
    found: Words = (left ^ is_up) - is_up
    return found


def fitted_prediction(distances: Distances, kernel: Kernel) -> Prediction | None:
    """The prediction that leaves the least; None where it saves less than its weights take.

    Args:
        distances: From the middle, whole filters.
        kernel: Where taps are.
    """
    taps = _by_tap(distances, kernel)
    products = taps @ taps.T
    reaches = {kernel.taps - 1} | ({isqrt(kernel.taps) + 1} if kernel.taps > _FEW_TAPS else set())
    best, most = None, 0.0
    for reach in sorted(reaches):
        found = Prediction(kernel, reach, _weights(products, reach))
        saved = taps.shape[1] * _gain(products, found) - prediction_bits(found)
        if saved > most:
            best, most = found, saved
    return best


def _weights(products: Floats, reach: int) -> tuple[tuple[int, ...], ...]:
    products = products + np.eye(len(products)) * (1e-9 * np.trace(products) + 1e-9)
    if reach == len(products) - 1:
        # what is left of each tap, divided by its own deviation, is white
        white = np.linalg.inv(np.linalg.cholesky(products))
        exact = -white / np.diagonal(white)[:, None]
    else:
        exact = np.zeros_like(products)
        for tap in range(1, len(products)):
            own = slice(max(0, tap - reach), tap)
            exact[tap, own] = np.linalg.solve(products[own, own], products[own, tap])
    whole = np.clip(np.rint(exact * (1 << _SHIFT)), -_LARGEST, _LARGEST).astype(int).tolist()
    return tuple(tuple(whole[tap][max(0, tap - reach) : tap][::-1]) for tap in range(1, len(whole)))


def _gain(products: Floats, prediction: Prediction) -> float:
    """Bits that a filter takes less, if what is left is spread as what was."""
    weights = np.eye(len(products)) - prediction.matrix / (1 << _SHIFT)
    left = ((weights @ products) * weights).sum(1)
    whole = np.diagonal(products)
    used = (whole > 0) & (left > 0)
    return 0.5 * float(np.log2(whole[used] / left[used]).sum())


def prediction_bits(prediction: Prediction | None) -> int:
    """What it takes to say it."""
    return 8 if prediction is None else 8 * len(prediction.fields)


def write_prediction(out: FieldWriter, prediction: Prediction | None) -> None:
    """Says taps - 1; where that is not 0 stride, reach and weights, of which the sign is last."""
    if prediction is None:
        out.number(0)
    else:
        out.data += prediction.fields


def read_prediction(fields: FieldReader, count: int) -> Prediction | None:
    """The prediction that was written; None where there is none.

    Args:
        fields: Where to read.
        count: Integers there are.

    Raises:
        PackError: The integers are no whole filters, or a number is too large.
    """
    taps = 1 + fields.number(MOST_TAPS - 1)
    if taps == 1:
        return None
    kernel = Kernel(taps, fields.number(_MOST_STRIDE))
    reach = fields.number(taps - 1)
    if not kernel.stride or count % kernel.size:
        raise PackError(f"{fields.what} has {count:,} integers in filters of {kernel.size:,}")
    return Prediction(kernel, reach, tuple(_read_weights(fields, taps, reach)))


def _read_weights(fields: FieldReader, taps: int, reach: int) -> Sequence[tuple[int, ...]]:
    def weight() -> int:
        folded = fields.number(255)
        return -(folded >> 1) - 1 if folded & 1 else folded >> 1

    return [tuple(weight() for _ in range(min(tap, reach))) for tap in range(1, taps)]
