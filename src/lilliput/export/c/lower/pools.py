"""Pools and means."""

import math

from lilliput.core import ExportError, UnsupportedError
from lilliput.export.c.fixed_point import Multiplier, quantized
from lilliput.export.c.lower.step import (
    Step,
    Windows,
    activation_range,
    check_same_scale,
    check_shape,
    windows,
)
from lilliput.export.c.network import Network, Operator

__all__ = ["average", "largest", "maximum", "mean"]


def average(network: Network, operator: Operator) -> list[Step]:
    """The mean of what lies inside the map."""
    return _pool("average_pool_2d", network, operator)


def maximum(network: Network, operator: Operator) -> list[Step]:
    """The largest of what lies inside the map."""
    return _pool("max_pool_2d", network, operator)


def largest(network: Network, operator: Operator) -> list[Step]:
    """The place of the largest of each row."""
    x = network.read(operator, 0)
    settings = {"rows": x.count // x.shape[-1], "channels": x.shape[-1]}
    return [Step("largest", operator, (operator.source(),), operator.outputs[0], settings)]


def _pool(kernel: str, network: Network, operator: Operator) -> list[Step]:
    x, y = network.read(operator, 0), network.written(operator)
    check_same_scale(operator, x, y)
    options = operator.options
    moves = Windows(
        (int(options["filterHeight"]), int(options["filterWidth"])),
        (int(options["strideH"]), int(options["strideW"])),
    )
    before, out = windows(operator, x.shape[1:3], moves)
    check_shape(operator, y, (x.shape[0], *out, x.shape[3]))
    low, high = activation_range(operator, y)
    settings = {"batch": x.shape[0], "channels": x.shape[3]}
    pairs = {"in": x.shape[1:3], "out": out, "pad": before}
    pairs |= {"kernel": moves.kernel, "stride": moves.stride}
    for name, (height, width) in pairs.items():
        settings |= {f"{name}_height": height, f"{name}_width": width}
    settings |= {"low": low, "high": high}
    return [Step(kernel, operator, (operator.source(),), operator.outputs[0], settings)]


def mean(network: Network, operator: Operator) -> list[Step]:
    """Over axes next to each other.

    Source: TensorFlow Lite, `reduce.h`, QuantizedMeanOrSum.
    """
    x, y = network.read(operator, 0), network.written(operator)
    axes = sorted({int(a) % len(x.shape) for a in network.constant(operator, 1).reshape(-1)})
    if not axes or axes != list(range(axes[0], axes[-1] + 1)):
        raise UnsupportedError(f"{operator}: the axes {axes} must lie next to each other")
    count = math.prod(x.shape[axis] for axis in axes)
    if y.count * count != x.count:
        raise ExportError(f"{operator}: {list(x.shape)} over {axes} is no {list(y.shape)}")
    factor = quantized(float(x.scale) / float(y.scale))
    shift = min(count.bit_length() - 1, 32, 31 + factor.shift)
    multiplier = Multiplier((factor.mantissa << shift) // count, factor.shift - shift)
    settings = {
        "outer": math.prod(x.shape[: axes[0]]),
        "count": count,
        "inner": math.prod(x.shape[axes[-1] + 1 :]),
        "in_zero": x.zero_point,
        "out_zero": y.zero_point,
        "multiplier": multiplier.mantissa,
        "shift": multiplier.shift,
    }
    return [Step("mean", operator, (operator.source(),), operator.outputs[0], settings)]
