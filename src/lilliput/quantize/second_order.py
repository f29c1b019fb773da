"""Rounding that knows what a layer reads: each weight makes up for what others were rounded by."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from lilliput.core import IntegerType, Model, PerChannel, PerTensor, Stage, Task
from lilliput.core.progress import track
from lilliput.quantize.affine import dequantize, quantize
from lilliput.quantize.fake import FakeQuantize
from lilliput.quantize.gram import Gram, filters, gram_of, groups_of, is_linear
from lilliput.quantize.insert import layer_of
from lilliput.quantize.lockstep import Lockstep, Place, weighted

__all__ = ["RoundSecondOrder", "in_small_batches", "rounded"]

_BATCH = 16

Filters = Shaped[Tensor, "groups each fan"]
Matrix = Float[Tensor, "groups fan fan"]


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
        samples: How many examples. What two neighbouring layers read of them is held in memory.
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
        walk = Lockstep(model.module, in_small_batches(self.task.calibration(self.samples)))
        layers = Counter(layer_of(node) for node, _ in weighted(walk.module))
        for place in track(walk.walk(), "second-order rounding", layers.total()):
            # a layer that runs twice reads two things, and has one weight for both
            if is_linear(place) and layers[place.layer] == 1:
                self._round(place)
        return model

    @torch.no_grad()
    def _round(self, place: Place) -> None:
        """Sets a layer's weight and bias, and with them the scale, which stays from now on."""
        place.quantizer.momentum = None
        gram = gram_of(place, has_bias=place.bias is not None)
        weight, bias = rounded(place, gram, self.damping, self.sweeps)
        place.weight.copy_(weight)
        if place.bias is not None and bias is not None:
            place.bias.copy_(bias)


def rounded(
    place: Place, gram: Gram, damping: float, sweeps: int
) -> tuple[Float[Tensor, "..."], Float[Tensor, " out"] | None]:
    """The weight on the quantizer's grid, whose range it sets, and the bias that suits it.

    Args:
        place: A layer for which `is_linear` holds; its weight and bias stay as they are.
        gram: What it reads.
        damping: As in `RoundSecondOrder`.
        sweeps: Likewise.
    """
    groups = groups_of(place.node, place.weight)
    weight = filters(place.weight_float.float(), groups)
    ridge = damping * gram.read.diagonal(dim1=1, dim2=2).mean(1).clamp_min(1e-12)
    identity = torch.eye(weight.shape[-1])
    metric = gram.read + ridge[:, None, None] * identity
    wanted = weight @ gram.both + ridge[:, None, None] * weight
    best = torch.linalg.solve(metric, wanted.mT).mT
    _draw_in(place.quantizer, best, metric, place.weight)
    grid = _Grid.of(place.quantizer, place.weight, groups)
    starts = (_with_feedback(best, metric, grid), grid.codes(best))
    ends = [grid.real(_looked_at_again(s, best, metric, grid, sweeps)) for s in starts]
    on_grid = _least(ends, best, metric)
    bias = None
    if place.bias_float is not None:
        before = (weight @ gram.mean_float[:, :, None]).flatten()
        after = (on_grid @ gram.mean[:, :, None]).flatten()
        bias = place.bias_float + before - after
    return on_grid.reshape(place.weight.shape), bias


def in_small_batches(batches: Iterable[tuple[Tensor, ...]]) -> list[tuple[Tensor, ...]]:
    """Inputs in batches small enough that what is computed of them fits in memory."""
    return [
        tuple(x[start : start + _BATCH] for x in inputs)
        for inputs in batches
        for start in range(0, len(inputs[0]), _BATCH)
    ]


@dataclass(frozen=True, eq=False)
class _Grid:
    """Scale and zero point of every weight, by group."""

    scale: Filters
    zero_point: Tensor
    kind: IntegerType

    @staticmethod
    def of(quantizer: FakeQuantize, weight: Tensor, groups: int) -> "_Grid":
        scale = quantizer.spread(quantizer.scale, weight).expand_as(weight)
        zero_point = quantizer.spread(quantizer.zero_point, weight).expand_as(weight)
        return _Grid(filters(scale, groups), filters(zero_point, groups), quantizer.type)

    def codes(self, real: Tensor, at: slice | int = slice(None)) -> Tensor:
        return quantize(real, self.scale[..., at], self.zero_point[..., at], self.kind)

    def real(self, codes: Tensor, at: slice | int = slice(None)) -> Tensor:
        return dequantize(codes, self.scale[..., at], self.zero_point[..., at])


def _draw_in(quantizer: FakeQuantize, best: Filters, metric: Matrix, weight: Tensor) -> None:
    """Sets the ranges that cost least when weights are rounded to the nearest."""
    kind = quantizer.type
    if not isinstance(kind.granularity, PerTensor | PerChannel) or quantizer.axis not in {None, 0}:
        return
    rows = quantizer.rows(best.reshape(weight.shape))
    low, high = rows.aminmax(dim=1)
    least = torch.full_like(low, float("inf"))
    chosen = low, high
    for share in torch.linspace(1.0, 0.35, 40).tolist():
        quantizer.set_range(low * share, high * share)
        grid = _Grid.of(quantizer, weight, len(best))
        cost = _cost(grid.real(grid.codes(best)), best, metric).flatten()
        cost = cost.sum().view(1) if quantizer.axis is None else cost
        is_better = cost < least
        least = torch.where(is_better, cost, least)
        chosen = (
            torch.where(is_better, low * share, chosen[0]),
            torch.where(is_better, high * share, chosen[1]),
        )
    quantizer.set_range(*chosen)


def _with_feedback(best: Filters, metric: Matrix, grid: _Grid) -> Tensor:
    """Codes one column after another, the largest diagonal first."""
    order = metric.diagonal(dim1=1, dim2=2).mean(0).argsort(descending=True)
    back = order.argsort()
    metric = metric[:, order][:, :, order]
    inverse = torch.linalg.cholesky(metric)
    upper = torch.linalg.cholesky(torch.cholesky_inverse(inverse), upper=True)
    left = best[..., order].clone()
    ordered = _Grid(grid.scale[..., order], grid.zero_point[..., order], grid.kind)
    codes = torch.empty_like(left, dtype=torch.int32)
    for column in range(left.shape[-1]):
        codes[..., column] = ordered.codes(left[..., column], column)
        error = left[..., column] - ordered.real(codes[..., column], column)
        error = error / upper[:, None, column, column]
        left[..., column:] -= error[..., None] * upper[:, None, column, column:]
    return codes[..., back]


def _cost(real: Filters, best: Filters, metric: Matrix) -> Float[Tensor, "groups each"]:
    """The squared error of each filter's outputs."""
    error = real - best
    return ((error @ metric) * error).sum(-1)


def _least(choices: Sequence[Filters], best: Filters, metric: Matrix) -> Filters:
    """Of each filter the choice that costs least."""
    costs = torch.stack([_cost(choice, best, metric) for choice in choices])
    chosen = costs.argmin(0)[None, :, :, None].expand(1, *best.shape)
    return torch.stack(list(choices)).gather(0, chosen)[0]


def _looked_at_again(
    codes: Tensor, best: Filters, metric: Matrix, grid: _Grid, sweeps: int
) -> Tensor:
    """Each code as is best with the others as they are, until none changes."""
    codes = codes.clone()
    real = grid.real(codes)
    slope = (real - best) @ metric
    diagonal = metric.diagonal(dim1=1, dim2=2)
    for _ in range(sweeps):
        has_changed = False
        for column in range(codes.shape[-1]):
            wish = real[..., column] - slope[..., column] / diagonal[:, None, column]
            new = grid.codes(wish, column)
            if bool((new == codes[..., column]).all()):
                continue
            has_changed = True
            value = grid.real(new, column)
            slope += (value - real[..., column])[..., None] * metric[:, None, column]
            codes[..., column], real[..., column] = new, value
        if not has_changed:
            break
    return codes
