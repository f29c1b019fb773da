"""Functions of one number: 256 answers, computed here as TensorFlow Lite would there."""

from collections.abc import Callable
from functools import partial

import numpy as np

from lilliput.export.c.fixed_point import Multiplier, quantized, scaled
from lilliput.export.c.lower.step import Step, check_shape
from lilliput.export.c.network import Network, Operator, Tensor
from lilliput.export.format import Array

__all__ = ["TABLES", "table"]

_ALL = np.arange(-128, 128)

Answers = Callable[[Operator, Tensor, Tensor], Array]


def table(network: Network, operator: Operator) -> list[Step]:
    """One look for each number."""
    x, y = network.read(operator, 0), network.written(operator)
    check_shape(operator, y, x.shape)
    answers = np.clip(TABLES[operator.kind](operator, x, y), -128, 127).astype(np.int8)
    settings = {"count": x.count}
    return [
        Step(
            "look_up",
            operator,
            (operator.source(),),
            operator.outputs[0],
            settings,
            {"table": answers},
            distances={0: 0},
        )
    ]


def _rescaled(_: Operator, x: Tensor, y: Tensor) -> Array:
    """Source: TensorFlow Lite, `quantize.cc` and `requantize.h`."""
    factor = quantized(float(np.float64(x.scale) / np.float64(y.scale)))
    return np.asarray(scaled(_ALL - x.zero_point, factor) + y.zero_point)


def _clipped(low: float, high: float | None, _: Operator, x: Tensor, y: Tensor) -> Array:
    """Source: TensorFlow Lite, `activations.cc`, QuantizedReluX."""
    factor = quantized(float(x.scale / y.scale))
    found = scaled(_ALL - x.zero_point, factor) + y.zero_point
    most = 127 if high is None else y.zero_point + _round(np.float32(high) / y.scale)
    return np.asarray(np.clip(found, y.zero_point + _round(np.float32(low) / y.scale), most))


def _leaky(operator: Operator, x: Tensor, y: Tensor) -> Array:
    """Source: TensorFlow Lite, `leaky_relu.h`, QuantizeLeakyRelu."""
    alpha = np.float32(operator.options["alpha"])
    centred = _ALL - x.zero_point
    kept = scaled(centred, quantized(float(x.scale / y.scale)))
    damped = scaled(centred, quantized(float(x.scale * alpha / y.scale)))
    return np.asarray(np.where(centred >= 0, kept, damped) + y.zero_point)


def _function(run: Callable[[Array], Array], _: Operator, x: Tensor, y: Tensor) -> Array:
    """Source: TensorFlow Lite, `common.h`, LUTPopulate; all in single precision."""
    values = run((x.scale * (_ALL - x.zero_point).astype(np.float32)).astype(np.float32))
    rescaled = values.astype(np.float32) * (np.float32(1) / y.scale)
    return _half_away(rescaled) + y.zero_point


def _in_floats(run: Callable[[Array], Array], _: Operator, x: Tensor, y: Tensor) -> Array:
    """Between DEQUANTIZE and QUANTIZE. Source: TensorFlow Lite, `dequantize.h`, `quantize.h`."""
    values = run((x.scale * (_ALL - x.zero_point).astype(np.float32)).astype(np.float32))
    return _half_away(values.astype(np.float32) / y.scale) + y.zero_point


def _hard_swish(_: Operator, x: Tensor, y: Tensor) -> Array:
    """Source: TensorFlow Lite, `activations.cc`, HardSwishPrepare, and `hard_swish.h`."""
    fine = np.float32(1 / 128) * x.scale
    out = quantized(float(fine / y.scale))
    gate = quantized(float(fine / np.float32(3 / 32768)))
    centred = (_ALL - x.zero_point) * 128
    kept = _high(centred, _narrow(out))
    reluish = centred
    if gate.shift > 0:
        reluish = np.clip(reluish * (1 << (gate.shift - 1)), -32768, 32767)
    reluish = _high(reluish, _narrow(gate))
    if gate.shift > 0:
        reluish = np.clip(reluish * 2, -32768, 32767)
    if gate.shift < 0:
        reluish = _divided(reluish, -gate.shift)
    share = (reluish + (1 << 15)) >> 1
    product = share * kept
    high = np.sign(product) * (np.abs(product) >> 15)  # doubled, its upper half, cut off
    return _divided(np.clip(high, -32768, 32767), -out.shift) + y.zero_point


def _narrow(multiplier: Multiplier) -> int:
    """The mantissa with 15 bits."""
    return min(32767, (multiplier.mantissa + (1 << 15)) >> 16)


def _high(values: Array, mantissa: int) -> Array:
    """Doubled product of 16-bit numbers, its upper half, rounded."""
    product = values * mantissa
    nudged = product + np.where(product >= 0, 1 << 14, 1 - (1 << 14))
    return np.asarray(np.sign(nudged) * (np.abs(nudged) >> 15))


def _divided(values: Array, bits: int) -> Array:
    mask = (1 << bits) - 1
    return np.asarray((values >> bits) + ((values & mask) > (mask >> 1) + (values < 0)))


def _half_away(values: Array) -> Array:
    whole = np.trunc(values)
    return np.asarray(whole + np.sign(values) * (np.abs(values - whole) >= 0.5)).astype(np.int64)


def _round(value: np.float32) -> int:
    return int(_half_away(np.asarray(value)))


def _sigmoid(values: Array) -> Array:
    one = np.float32(1)
    return np.asarray(one / (one + _nearest(np.exp, -values)))


def _nearest(function: Callable[[Array], Array], values: Array) -> Array:
    """A function to the nearest in single precision, which C libraries give and numpy does not."""
    return function(values.astype(np.float64)).astype(np.float32)


TABLES: dict[str, Answers] = {
    "QUANTIZE": _rescaled,
    "RELU": partial(_clipped, 0.0, None),
    "RELU6": partial(_clipped, 0.0, 6.0),
    "RELU_N1_TO_1": partial(_clipped, -1.0, 1.0),
    "RELU_0_TO_1": partial(_clipped, 0.0, 1.0),
    "LEAKY_RELU": _leaky,
    "LOGISTIC": partial(_function, _sigmoid),
    "TANH": partial(_function, partial(_nearest, np.tanh)),
    "HARD_SWISH": _hard_swish,
    "LOGISTIC in floats": partial(_in_floats, _sigmoid),
    "TANH in floats": partial(_in_floats, partial(_nearest, np.tanh)),
    "RELU in floats": partial(_in_floats, lambda x: np.maximum(x, np.float32(0))),
    "RELU6 in floats": partial(_in_floats, lambda x: np.clip(x, np.float32(0), np.float32(6))),
}
"""By operator; "in floats" stands for a function that a file computes between two conversions."""
