"""Real factors as integers, and the integer arithmetic of TensorFlow Lite.

Source: gemmlowp, `fixedpoint.h`; TensorFlow Lite, `quantization_util.cc` and `common.h`.
"""

import math
from dataclasses import dataclass

import numpy as np

from lilliput.export.format import Array

__all__ = ["Multiplier", "quantized", "scaled", "scaled_once"]


@dataclass(frozen=True)
class Multiplier:
    """`mantissa * 2**(shift - 31)`, the mantissa of 31 bits and a sign."""

    mantissa: int
    shift: int


def quantized(factor: float) -> Multiplier:
    """The multiplier next to a factor; 0 for one below 2**-32."""
    if factor == 0:
        return Multiplier(0, 0)
    fraction, shift = math.frexp(factor)
    mantissa = _rounded(fraction * (1 << 31))
    if mantissa == 1 << 31:
        mantissa //= 2
        shift += 1
    if shift < -31:
        return Multiplier(0, 0)
    if shift > 30:
        return Multiplier((1 << 31) - 1, 30)
    return Multiplier(mantissa, shift)


def scaled(values: Array, by: Multiplier) -> Array:
    """`values * by`, rounded twice as the C does it.

    Args:
        values: Integers of at most 32 bits.
        by: The multiplier.
    """
    left, right = max(by.shift, 0), max(-by.shift, 0)
    wide = (values.astype(np.int64) << left).astype(np.int32).astype(np.int64) * by.mantissa
    nudged = wide + np.where(wide >= 0, 1 << 30, 1 - (1 << 30))
    high = np.sign(nudged) * (np.abs(nudged) >> 31)
    high = np.clip(high, -(1 << 31), (1 << 31) - 1)
    mask = (1 << right) - 1
    threshold = (mask >> 1) + (high < 0)
    return np.asarray((high >> right) + ((high & mask) > threshold))


def scaled_once(values: Array, by: Multiplier) -> Array:
    """`values * by`, rounded once, halves up."""
    bits = 31 - by.shift
    return np.asarray((values.astype(np.int64) * by.mantissa + (1 << (bits - 1))) >> bits)


def _rounded(value: float) -> int:
    """To the nearest, halves away from zero."""
    return math.floor(value + 0.5) if value >= 0 else math.ceil(value - 0.5)
