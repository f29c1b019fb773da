"""Sums of floats in the order in which Eigen adds them, as ONNX Runtime's reductions do."""

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["sum_rows"]

_LANES = 4


def sum_rows(rows: Float[Tensor, "rows size"]) -> Float[Tensor, " rows"]:
    """The sum of each row of a matrix that lies aligned in memory.

    Four lanes add side by side, two of such packets at a time, from the first aligned element of a
    row on; what is left over at both ends comes last.

    Source: Eigen 3.4, Eigen/src/Core/Redux.h, linear vectorized traversal with packets of SSE.
    """
    size = rows.shape[1]
    first = (-torch.arange(len(rows)) * size) % _LANES
    result = torch.empty(len(rows))
    for start in first.unique().tolist():
        chosen = first == start
        result[chosen] = _sum(rows[chosen], min(start, size))
    return result


def _sum(rows: Float[Tensor, "rows size"], start: int) -> Float[Tensor, " rows"]:
    count = (rows.shape[1] - start) // _LANES
    if not count:
        return _add(rows.unbind(1))
    end = start + count * _LANES
    packets = rows[:, start:end].unflatten(1, (count, _LANES)).unbind(1)
    even = count // 2 * 2
    total = packets[0]
    if even:
        total = _add(packets[0:even:2]) + _add(packets[1:even:2])
        total = total + packets[even] if even < count else total
    a, b, c, d = total.unbind(1)
    return _add([(a + c) + (b + d), *rows[:, :start].unbind(1), *rows[:, end:].unbind(1)])


def _add(terms: tuple[Tensor, ...] | list[Tensor]) -> Tensor:
    """One after the other."""
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total
