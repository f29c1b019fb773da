"""Softmax along the last axis, its exponentials looked up.

Source: TensorFlow Lite, `reference/softmax.h`; gemmlowp, `fixedpoint.h`.
"""

import math

import numpy as np

from lilliput.core import UnsupportedError
from lilliput.export.c.fixed_point import Multiplier, quantized
from lilliput.export.c.lower.step import Step, check_shape
from lilliput.export.c.network import Network, Operator
from lilliput.export.format import Array

__all__ = ["softmax"]

_INTEGER_BITS = 5
"""Of an exponent; beyond -32 nothing is left of 1."""
# exp(-1/4), exp(-1/2), ... exp(-16) with 31 bits after the point
_POWERS = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)


def softmax(network: Network, operator: Operator) -> list[Step]:
    """One row after another."""
    x, y = network.read(operator, 0), network.written(operator)
    check_shape(operator, y, x.shape)
    if y.zero_point != -128 or abs(float(y.scale) * 256 - 1) > 1e-3:
        raise UnsupportedError(f"{operator} must give scale 1/256 around -128")
    beta = float(np.float32(operator.options.get("beta", 1.0)))
    factor = min(beta * float(x.scale) * (1 << (31 - _INTEGER_BITS)), (1 << 31) - 1.0)
    multiplier = quantized(factor)
    most = (1 << _INTEGER_BITS) - 1
    radius = math.floor(
        most * math.ldexp(1.0, 31 - _INTEGER_BITS) / math.ldexp(1.0, multiplier.shift)
    )
    count = min(255, radius) + 1
    settings = {"rows": x.count // x.shape[-1], "channels": x.shape[-1], "count": count}
    arrays = {"exponentials": _exponentials(multiplier, count)}
    return [
        Step(
            "softmax",
            operator,
            (operator.source(),),
            operator.outputs[0],
            settings,
            arrays,
            distances={0: 0},
        )
    ]


def _exponentials(multiplier: Multiplier, count: int) -> Array:
    """exp(-0), exp(-1), ... of the input's steps, with 31 bits after the point."""
    values = [_exp(_high(-k * (1 << multiplier.shift), multiplier.mantissa)) for k in range(count)]
    return np.asarray(values, np.int32)


def _exp(value: int) -> int:
    """Of a number from -32 to 0 with 26 bits after the point."""
    quarter = 1 << 24
    rest = (value & (quarter - 1)) - quarter
    left = rest - value
    found = _near_zero(rest << _INTEGER_BITS)
    for bit, power in enumerate(_POWERS):
        if left & (1 << (24 + bit)):
            found = _high(found, power)
    return (1 << 31) - 1 if value == 0 else found


def _near_zero(value: int) -> int:
    """Exp from -1/4 to 0 by a Taylor series around -1/8; 31 bits after the point."""
    x = value + (1 << 28)
    square = _high(x, x)
    cube = _high(square, x)
    fourth = _high(square, square)
    quarter = _divided(fourth, 2)
    sixth = _divided(_high(quarter + cube, 715827883) + square, 1)
    return _saturated(1895147668 + _high(1895147668, x + sixth))


def _high(a: int, b: int) -> int:
    """Doubled product, its upper half, rounded."""
    product = a * b
    nudged = product + ((1 << 30) if product >= 0 else 1 - (1 << 30))
    return (1 if nudged >= 0 else -1) * (abs(nudged) >> 31)


def _divided(value: int, bits: int) -> int:
    mask = (1 << bits) - 1
    return (value >> bits) + ((value & mask) > (mask >> 1) + (value < 0))


def _saturated(value: int) -> int:
    return max(-(1 << 31), min((1 << 31) - 1, value))
