"""Operators that only move bytes: each becomes copies between two regular grids."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lilliput.core import ExportError, UnsupportedError
from lilliput.export.c.lower.step import Step, check_same_scale, check_shape
from lilliput.export.c.network import Network, Operator, Tensor

__all__ = [
    "concatenated",
    "joined",
    "padded",
    "parted",
    "sliced",
    "split",
    "strided",
    "transposed_axes",
]

_LOOPS = 4
"""Around a run of bytes that lie next to each other on both sides."""


@dataclass(frozen=True)
class _Grid:
    """Places in a tensor: a first one, and how far the next lies along each axis."""

    tensor: int
    strides: Sequence[int]
    offset: int = 0


def concatenated(network: Network, operator: Operator) -> list[Step]:
    """Each input goes to its part of the output."""
    y = network.written(operator)
    axis = _axis(operator, operator.options.get("axis"), y)
    writing = _strides(y.shape)
    steps, start = [], 0
    for which in range(len(operator.inputs)):
        x = network.read(operator, which)
        check_same_scale(operator, y, x)
        read = _Grid(operator.source(which), _strides(x.shape))
        write = _Grid(operator.outputs[0], writing, start * writing[axis])
        steps.append(_copy(operator, x.shape, read, write))
        check_shape(operator, x, (*y.shape[:axis], x.shape[axis], *y.shape[axis + 1 :]))
        start += x.shape[axis]
    check_shape(operator, y, (*y.shape[:axis], start, *y.shape[axis + 1 :]))
    return steps


def joined(network: Network, operator: Operator) -> list[Step]:
    """`PACK`: each input goes to one place along a new axis."""
    y = network.written(operator)
    axis = _axis(operator, operator.options.get("axis"), y)
    writing = _strides(y.shape)
    others = writing[:axis] + writing[axis + 1 :]
    check_shape(operator, y, (*y.shape[:axis], len(operator.inputs), *y.shape[axis + 1 :]))
    steps = []
    for which in range(len(operator.inputs)):
        x = network.read(operator, which)
        check_same_scale(operator, y, x)
        check_shape(operator, x, (*y.shape[:axis], *y.shape[axis + 1 :]))
        read = _Grid(operator.source(which), _strides(x.shape))
        write = _Grid(operator.outputs[0], others, which * writing[axis])
        steps.append(_copy(operator, x.shape, read, write))
    return steps


def split(network: Network, operator: Operator) -> list[Step]:
    """Each output gets its part of the input; `SPLIT` names the axis first, `SPLIT_V` last."""
    which, axis_input = (1, 0) if operator.kind == "SPLIT" else (0, 2)
    x = network.read(operator, which)
    axis = _axis(operator, network.constant(operator, axis_input).reshape(-1)[0], x)
    reading = _strides(x.shape)
    steps, start = [], 0
    for index in operator.outputs:
        y = network.tensors[index]
        read = _Grid(operator.source(which), reading, start * reading[axis])
        steps.append(_copy(operator, y.shape, read, _Grid(index, _strides(y.shape))))
        check_shape(operator, y, (*x.shape[:axis], y.shape[axis], *x.shape[axis + 1 :]))
        start += y.shape[axis]
    check_shape(operator, x, (*x.shape[:axis], start, *x.shape[axis + 1 :]))
    return steps


def parted(network: Network, operator: Operator) -> list[Step]:
    """`UNPACK`: each output gets one place along an axis that is gone."""
    x = network.read(operator, 0)
    axis = _axis(operator, operator.options.get("axis"), x)
    reading = _strides(x.shape)
    others = reading[:axis] + reading[axis + 1 :]
    check_shape(operator, x, (*x.shape[:axis], len(operator.outputs), *x.shape[axis + 1 :]))
    steps = []
    for place, index in enumerate(operator.outputs):
        y = network.tensors[index]
        check_same_scale(operator, x, y)
        check_shape(operator, y, (*x.shape[:axis], *x.shape[axis + 1 :]))
        read = _Grid(operator.source(), others, place * reading[axis])
        steps.append(_copy(operator, y.shape, read, _Grid(index, _strides(y.shape))))
    return steps


def padded(network: Network, operator: Operator) -> list[Step]:
    """Filled with the zero point, or with a constant of one's own, then copied into."""
    x, y = network.read(operator, 0), network.written(operator)
    check_same_scale(operator, x, y)
    pads = [(int(a), int(b)) for a, b in network.constant(operator, 1).reshape(-1, 2)]
    if min(map(min, pads)) < 0:
        raise ExportError(f"{operator} pads by {pads}")
    check_shape(operator, y, [n + sum(pad) for n, pad in zip(x.shape, pads, strict=True)])
    value = y.zero_point
    if len(operator.inputs) > 2:
        value = int(network.constant(operator, 2).reshape(-1)[0])
    writing = _strides(y.shape)
    offset = sum(before * s for (before, _), s in zip(pads, writing, strict=True))
    fill = Step("fill", operator, (), operator.outputs[0], {"count": y.count, "value": value})
    read = _Grid(operator.source(), _strides(x.shape))
    return [fill, _copy(operator, x.shape, read, _Grid(operator.outputs[0], writing, offset))]


def sliced(network: Network, operator: Operator) -> list[Step]:
    """`SLICE`: a block of the input."""
    x, y = network.read(operator, 0), network.written(operator)
    begins = [int(begin) for begin in network.constant(operator, 1).reshape(-1)]
    ends = [begin + size for begin, size in zip(begins, y.shape, strict=True)]
    if any(not 0 <= b <= e <= n for b, e, n in zip(begins, ends, x.shape, strict=True)):
        raise ExportError(f"{operator} takes {begins} to {ends} of {list(x.shape)}")
    reading = _strides(x.shape)
    offset = sum(begin * s for begin, s in zip(begins, reading, strict=True))
    read = _Grid(operator.source(), reading, offset)
    return [_copy(operator, y.shape, read, _Grid(operator.outputs[0], _strides(y.shape)))]


def strided(network: Network, operator: Operator) -> list[Step]:
    """`STRIDED_SLICE` by constants."""
    x, y = network.read(operator, 0), network.written(operator)
    options = operator.options
    if any(int(options.get(name) or 0) for name in ("ellipsisMask", "newAxisMask")):
        raise UnsupportedError(f"{operator} has an ellipsis or a new axis; write the slice out")
    begins, ends, steps = (network.constant(operator, k).reshape(-1) for k in (1, 2, 3))
    given = [
        _taken(options, axis, slice(int(begin), int(end), int(step)), x.shape[axis])
        for axis, (begin, end, step) in enumerate(zip(begins, ends, steps, strict=True))
    ]
    taken = [*given, *(range(size) for size in x.shape[len(given) :])]
    strides = _strides(x.shape)
    offset = sum(r.start * s for r, s in zip(taken, strides, strict=True))
    reading = [r.step * s for r, s in zip(taken, strides, strict=True)]
    sizes = [len(r) for r in taken]
    if math.prod(sizes) != y.count:
        raise UnsupportedError(f"{operator} takes {sizes} for an output of {list(y.shape)}")
    read = _Grid(operator.source(), reading, offset)
    return [_copy(operator, sizes, read, _Grid(operator.outputs[0], _strides(sizes)))]


def _taken(options: Mapping[str, Any], axis: int, given: slice, size: int) -> range:
    """The places along one axis."""

    def has(name: str) -> bool:
        return bool(int(options.get(name) or 0) >> axis & 1)

    if has("shrinkAxisMask"):
        start = int(given.start) % size
        return range(start, start + 1)
    first = None if has("beginMask") else given.start
    last = None if has("endMask") else given.stop
    return range(*slice(first, last, given.step).indices(size))


def transposed_axes(network: Network, operator: Operator) -> list[Step]:
    """`TRANSPOSE`: axes in another order."""
    x, y = network.read(operator, 0), network.written(operator)
    strides = _strides(x.shape)
    order = [int(axis) for axis in network.constant(operator, 1).reshape(-1)]
    if sorted(order) != list(range(len(x.shape))):
        raise ExportError(f"{operator} has the order {order}")
    check_shape(operator, y, [x.shape[axis] for axis in order])
    reading = [strides[axis] for axis in order]
    write = _Grid(operator.outputs[0], _strides(y.shape))
    return [_copy(operator, y.shape, _Grid(operator.source(), reading), write)]


def _copy(operator: Operator, sizes: Sequence[int], read: _Grid, write: _Grid) -> Step:
    """All elements of a grid; axes that lie alike on both sides are run through in one go."""
    rows: list[tuple[int, int, int]] = []
    for size, a, b in zip(reversed(sizes), read.strides[::-1], write.strides[::-1], strict=True):
        if size == 1:
            continue
        if rows and (a, b) == (rows[-1][0] * rows[-1][1], rows[-1][0] * rows[-1][2]):
            rows[-1] = (rows[-1][0] * size, *rows[-1][1:])
        else:
            rows.append((size, a, b))
    run = rows.pop(0)[0] if rows and rows[0][1:] == (1, 1) else 1
    if len(rows) > _LOOPS:
        raise UnsupportedError(f"{operator} moves over {len(rows)} axes; at most {_LOOPS} work")
    rows = [(1, 0, 0)] * (_LOOPS - len(rows)) + rows[::-1]
    settings = {"read_offset": read.offset, "write_offset": write.offset, "run": run}
    for axis, (size, a, b) in enumerate(rows):
        settings |= {f"size_{axis}": size, f"read_{axis}": a, f"write_{axis}": b}
    return Step("copy", operator, (read.tensor,), write.tensor, settings)


def _axis(operator: Operator, given: Any, tensor: Tensor) -> int:
    """Counted from the front."""
    axis, count = int(given or 0), len(tensor.shape)
    if not -count <= axis < count:
        raise ExportError(f"{operator} names the axis {axis} of {list(tensor.shape)}")
    return axis % count


def _strides(shape: Sequence[int]) -> list[int]:
    return [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
