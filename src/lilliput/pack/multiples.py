"""Floats that are integers times a step, as weights are that were rounded to a grid."""

import math

import numpy as np
import numpy.typing as npt

__all__ = ["integers_of", "reals_of", "step_in", "step_of"]

Reals = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int32]

_MOST = 2**15 - 1
_SAMPLE, _FEW = 4096, 64
_ROUNDING = 2.0**-24
"""Of a float32, half a unit of its last digit as a share of it."""
_SLACK = 4
_NEIGHBOURS = 8
"""Floats on either side of an estimate of the step that are tried."""


def step_of(values: Reals) -> np.float32 | None:
    """The largest step that all numbers are multiples of, bit for bit; None where there is none.

    Args:
        values: Of one axis.
    """
    if not np.isfinite(values).all():
        return None
    some = _sizes(values[:: max(1, len(values) // _SAMPLE)])
    step = _common(some)
    if step is None:
        return None
    sizes = _sizes(values)
    counts = np.rint(sizes / step)
    if counts[-1] > _MOST:
        return None
    estimate = np.float32((sizes @ counts) / (counts @ counts))
    largest = sizes[-_FEW:].astype(np.float32)  # they say most of the step's last digits
    for candidate in _near(estimate):
        if _agrees(largest, candidate) and _agrees(values, candidate):
            return candidate
    return None


def _sizes(values: Reals) -> npt.NDArray[np.float64]:
    """The numbers without zero and sign, each once, the smallest first."""
    sizes = np.unique(np.abs(values)).astype(np.float64)
    return sizes[sizes > 0]


def _common(sizes: npt.NDArray[np.float64]) -> float | None:
    """About the greatest common divisor of sizes, by Euclid; None where it is too small a part."""
    if not len(sizes) or not math.isfinite(sizes[-1]):
        return None
    least = sizes[-1] / _MOST / 2
    places = np.linspace(0, len(sizes) - 1, min(_FEW, len(sizes))).astype(int)
    some = [float(size) for size in sizes[places]]
    found = some[0]
    for place, size in enumerate(some):
        found = _divisor(size, found)
        if found < least:
            return None
        for other in some[: place + 1]:  # larger numbers say more of its digits
            found = other / round(other / found)
    return found


def _divisor(size: float, step: float) -> float:
    """What divides both, by Euclid; remainders no larger than what rounding leaves count as 0."""
    error, step_error = size * _ROUNDING, step * _ROUNDING
    while step > step_error:
        count = round(size / step)
        rest, rest_error = abs(size - count * step), error + count * step_error
        if rest <= _SLACK * rest_error:
            break
        size, error, step, step_error = step, step_error, rest, rest_error
    return step


def _near(estimate: np.float32) -> list[np.float32]:
    """An estimate and its neighbours, the nearest first."""
    found, low, high = [estimate], estimate, estimate
    for _ in range(_NEIGHBOURS):
        low, high = np.nextafter(low, np.float32(0)), np.nextafter(high, np.float32(np.inf))
        found += [low, high]
    return found


def _agrees(values: Reals, step: np.float32) -> bool:
    with np.errstate(all="ignore"):  # integers of far numbers are others, which is seen
        back = reals_of(integers_of(values, step), step)
    return bool(np.array_equal(back.view(np.uint32), values.view(np.uint32)))


def integers_of(values: Reals, step: np.float32) -> Integers:
    """How many steps each number is."""
    return np.rint(values / np.float64(step)).astype(np.int32)


def reals_of(integers: Integers, step: np.float32) -> Reals:
    """The multiples: products exact as doubles and rounded once, on every machine."""
    with np.errstate(all="ignore"):  # of a step that no packer says, a multiple may be infinite
        return (integers * np.float64(step)).astype(np.float32)


def step_in(settings: bytes) -> np.float32 | None:
    """The step that a coding's settings are; None where they are none."""
    if len(settings) != 4:
        return None
    step = np.frombuffer(settings, "<f4").astype(np.float32)[0]
    return step if 0 < step < np.inf else None
