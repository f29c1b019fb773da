"""Rounding that knows what a layer reads: each weight makes up for what others were rounded by."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from lilliput.core import Model, PerChannel, PerTensor, Stage, Task
from lilliput.core.progress import track
from lilliput.quantize.beside.lockstep import Lockstep, alone, small_batches, weighted
from lilliput.quantize.numbers.grid import Grid
from lilliput.quantize.rounding.gram import is_linear
from lilliput.quantize.rounding.least_squares import LeastSquares

__all__ = ["RoundSecondOrder", "on_grid", "rounded"]

Filters = Shaped[Tensor, "groups each fan"]
Matrix = Float[Tensor, "groups fan fan"]
Codes = Int[Tensor, "groups each fan"]
_COLUMNS = 64


@dataclass(frozen=True)
class RoundSecondOrder:
    """Rounds the weights of a quantized network so that each layer's outputs change least.

    Layer after layer: the weights that would do best with what the quantized network reads there
    are found by least squares; they are rounded one by one, each time moving the error onto the
    weights still to come; then each code is looked at again with the others as they are, until none
    changes. Scales are drawn in where that costs least, and biases take up what is left of means.
    Transposed convolutions, and layers that run more than once, stay rounded to the nearest.

    Source: error feedback: Frantar et al. 2023, "GPTQ", eq. 2 and 3; second look: Behdin et al.
    2023, "QuantEase", section 3.

    Args:
        task: Its training inputs are looked at, without labels.
        samples: How many examples. What one layer reads of them, in both networks, is held in
            memory.
        damping: Share of the mean of the diagonal that is added to it, so that directions that the
            examples do not show stay as they were.
        sweeps: Most times that all codes are looked at again.
    """

    stage: ClassVar[Stage] = "reconstruct"

    task: Task
    samples: int = 256
    damping: float = 0.01
    sweeps: int = 20

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise ValueError(f"samples must be 1 or more, got {self.samples}")
        if not self.damping > 0:
            raise ValueError(f"damping must be more than 0, got {self.damping}")

    def __call__(self, model: Model, /) -> Model:
        """Gives the network with other weights and biases, its weights on the quantizers' grids.

        Raises:
            PassError: The network has no quantizers.
        """
        walk = Lockstep(model.module, small_batches(self.task.calibration(self.samples)))
        once, count = alone(walk.module), len(weighted(walk.module))
        for place in track(walk.walk(), "second-order rounding", count):
            # one that runs twice, or that others read, has one weight for all of them
            if is_linear(place) and place.node in once:
                problem = LeastSquares.of(place, self.damping)
                problem.set(rounded(problem, self.sweeps))
        return model


@torch.no_grad()
def rounded(problem: LeastSquares, sweeps: int) -> Filters:
    """The weights on the quantizer's grid, whose range it sets.

    Args:
        problem: Of one layer, whose weight and bias stay as they are.
        sweeps: Most times that all codes are looked at again.
    """
    _draw_in(problem)
    return on_grid(problem, sweeps)


@torch.no_grad()
def on_grid(problem: LeastSquares, sweeps: int) -> Filters:
    """The weights on the quantizer's grid as it is.

    Args:
        problem: Of one layer, whose weight and bias stay as they are.
        sweeps: Most times that all codes are looked at again.
    """
    grid = problem.grid()
    starts = (_with_feedback(problem, grid), grid.codes(problem.best))
    ends = [grid.real(_looked_at_again(s, problem, grid, sweeps)) for s in starts]
    return problem.least(ends)


def _draw_in(problem: LeastSquares) -> None:
    """Sets the ranges that cost least when weights are rounded to the nearest."""
    quantizer, best = problem.place.quantizer, problem.best
    kind = quantizer.type
    if not isinstance(kind.granularity, PerTensor | PerChannel) or quantizer.axis not in {None, 0}:
        return
    rows = quantizer.rows(best.reshape(problem.place.weight.shape))
    low, high = rows.aminmax(dim=1)
    least = torch.full_like(low, float("inf"))
    chosen = low, high
    for share in torch.linspace(1.0, 0.35, 40).tolist():
        quantizer.set_range(low * share, high * share)
        grid = problem.grid()
        cost = problem.cost(grid.real(grid.codes(best))).flatten()
        cost = cost.sum().view(1) if quantizer.axis is None else cost
        is_better = cost < least
        least = torch.where(is_better, cost, least)
        chosen = (
            torch.where(is_better, low * share, chosen[0]),
            torch.where(is_better, high * share, chosen[1]),
        )
    quantizer.set_range(*chosen)


def _with_feedback(problem: LeastSquares, grid: Grid) -> Codes:
    """Codes one column after another, the largest diagonal first."""
    order = problem.metric.diagonal(dim1=1, dim2=2).mean(0).argsort(descending=True)
    metric = problem.metric[:, order][:, :, order]
    inverse = torch.linalg.cholesky(metric)
    upper = torch.linalg.cholesky(torch.cholesky_inverse(inverse), upper=True)
    left = problem.best[..., order].clone()
    ordered = Grid(grid.scale[..., order], grid.zero_point[..., order], grid.kind)
    codes = torch.empty_like(left, dtype=torch.int32)
    for start in range(0, left.shape[-1], _COLUMNS):
        stop = min(start + _COLUMNS, left.shape[-1])
        errors = torch.empty_like(left[..., start:stop])
        for column in range(start, stop):
            codes[..., column] = ordered.codes(left[..., column], column)
            error = left[..., column] - ordered.real(codes[..., column], column)
            error = error / upper[:, None, column, column]
            left[..., column:stop] -= error[..., None] * upper[:, None, column, column:stop]
            errors[..., column - start] = error
        left[..., stop:] -= errors @ upper[:, start:stop, stop:]
    return codes[..., order.argsort()]


def _looked_at_again(codes: Codes, problem: LeastSquares, grid: Grid, sweeps: int) -> Codes:
    """Each code as is best with the others as they are, until none changes."""
    codes = codes.clone()
    real = grid.real(codes)
    slope = (real - problem.best) @ problem.metric
    for _ in range(sweeps):
        before = codes.clone()
        for start in range(0, codes.shape[-1], _COLUMNS):
            some = slice(start, min(start + _COLUMNS, codes.shape[-1]))
            old = real[..., some].clone()
            near = problem.metric[:, some, some]
            part = Grid(grid.scale[..., some], grid.zero_point[..., some], grid.kind)
            # views, so that what is improved is improved in place
            _improve(codes[..., some], real[..., some], slope[..., some].clone(), near, part)
            # what a change means for columns farther off is worked out for many at once
            slope += (real[..., some] - old) @ problem.metric[:, some]
        if torch.equal(before, codes):
            break
    return codes


def _improve(codes: Codes, real: Filters, slope: Filters, metric: Matrix, grid: Grid) -> None:
    """Changes codes of a few columns in place, one column after another.

    Args:
        codes: Of these columns.
        real: What they stand for.
        slope: Half the derivative of the cost by these columns.
        metric: Of these columns.
        grid: Of these columns.
    """
    for column in range(codes.shape[-1]):
        wish = real[..., column] - slope[..., column] / metric[:, None, column, column]
        new = grid.codes(wish, column)
        value = grid.real(new, column)
        slope += (value - real[..., column])[..., None] * metric[:, None, column]
        codes[..., column], real[..., column] = new, value
