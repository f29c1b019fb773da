"""Two tensors met element by element, broadcast over axes of one."""

import numpy as np

from lilliput.core import UnsupportedError
from lilliput.export.c.fixed_point import Multiplier, quantized
from lilliput.export.c.lower.step import Step, activation_range
from lilliput.export.c.network import Network, Operator, Tensor

__all__ = ["added", "multiplied", "subtracted"]

_LEFT_SHIFT = 20
"""Bits that inputs are moved up before they are scaled to meet."""
_AXES = 4


def added(network: Network, operator: Operator) -> list[Step]:
    """Source: TensorFlow Lite, `add.cc`, for 8 bits."""
    return _sum(network, operator, sign=1)


def subtracted(network: Network, operator: Operator) -> list[Step]:
    """Source: TensorFlow Lite, `sub.cc`, for 8 bits."""
    return _sum(network, operator, sign=-1)


def _sum(network: Network, operator: Operator, sign: int) -> list[Step]:
    a, b, y = network.read(operator, 0), network.read(operator, 1), network.written(operator)
    twice = 2 * np.float64(max(a.scale, b.scale))
    first, second = (quantized(float(np.float64(t.scale) / twice)) for t in (a, b))
    out = quantized(float(twice / (np.float64(1 << _LEFT_SHIFT) * np.float64(y.scale))))
    second = Multiplier(sign * second.mantissa, second.shift)
    settings = {"first_zero": a.zero_point, "second_zero": b.zero_point}
    for name, multiplier in (("first", first), ("second", second), ("out", out)):
        settings |= {f"{name}_multiplier": multiplier.mantissa, f"{name}_shift": multiplier.shift}
    return [_step("add_wide", network, operator, settings)]


def multiplied(network: Network, operator: Operator) -> list[Step]:
    """Source: TensorFlow Lite, `mul.cc`, for 8 bits; the factor is in single precision."""
    a, b, y = network.read(operator, 0), network.read(operator, 1), network.written(operator)
    out = quantized(float(a.scale * b.scale / y.scale))
    settings = {
        "first_zero": a.zero_point,
        "second_zero": b.zero_point,
        "out_multiplier": out.mantissa,
        "out_shift": out.shift,
    }
    return [_step("mul", network, operator, settings)]


def _step(kernel: str, network: Network, operator: Operator, settings: dict[str, int]) -> Step:
    a, b, y = network.read(operator, 0), network.read(operator, 1), network.written(operator)
    low, high = activation_range(operator, y)
    sizes = _padded(operator, y)
    strides = [_strides(operator, t, sizes) for t in (a, b)]
    merged = _merged(sizes, *strides)
    shape = {f"size_{axis}": size for axis, (size, _, _) in enumerate(merged)}
    for which, name in ((1, "first"), (2, "second")):
        shape |= {f"{name}_stride_{axis}": row[which] for axis, row in enumerate(merged)}
    ends = {"out_zero": y.zero_point, "low": low, "high": high}
    reads = operator.source(0), operator.source(1)
    distances = {place: 0 for place, t in enumerate((a, b)) if t.shape == y.shape}
    return Step(
        kernel,
        operator,
        reads,
        operator.outputs[0],
        {**shape, **settings, **ends},
        distances=distances,
    )


def _padded(operator: Operator, tensor: Tensor) -> list[int]:
    if len(tensor.shape) > _AXES:
        raise UnsupportedError(f"{operator} has {len(tensor.shape)} axes; at most {_AXES} work")
    return [1] * (_AXES - len(tensor.shape)) + list(tensor.shape)


def _strides(operator: Operator, tensor: Tensor, sizes: list[int]) -> list[int]:
    own = _padded(operator, tensor)
    found, step = [], 1
    for size, wanted in zip(reversed(own), reversed(sizes), strict=True):
        if size not in (1, wanted):
            raise UnsupportedError(f"{operator}: shape {list(tensor.shape)} does not broadcast")
        found.append(0 if size == 1 else step)
        step *= size
    return found[::-1]


def _merged(sizes: list[int], first: list[int], second: list[int]) -> list[tuple[int, int, int]]:
    """Axes that both run through in one go become one; the last is the innermost."""
    rows: list[tuple[int, int, int]] = []
    for size, a, b in zip(reversed(sizes), reversed(first), reversed(second), strict=True):
        if size == 1:
            continue
        if rows and a == rows[-1][0] * rows[-1][1] and b == rows[-1][0] * rows[-1][2]:
            rows[-1] = (rows[-1][0] * size, rows[-1][1], rows[-1][2])
        else:
            rows.append((size, a, b))
    return ([(1, 0, 0)] * (_AXES - len(rows))) + rows[::-1]
