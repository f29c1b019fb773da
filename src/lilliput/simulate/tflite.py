"""LiteRT's reference kernels: integers only, scales as multipliers of 31 bits and shifts.

Source: Jacob et al. 2018, section 2.2; TensorFlow Lite, kernels/internal/common.h and
kernels/internal/reference/integer_ops.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from lilliput.simulate.grid import Codes, Grid
from lilliput.simulate.xnnpack import Xnnpack

__all__ = ["TfliteReference"]

_ADD_SHIFT = 20


@dataclass(frozen=True)
class TfliteReference:
    """The kernels of `OpResolverType.BUILTIN_REF`, which microcontrollers' kernels follow."""

    gives_floats: bool = False
    clips: bool = True

    def quantize(self, reals: Float[Tensor, "*shape"], grid: Grid) -> Float[Tensor, "*shape"]:
        """Ties away from zero."""
        steps = reals / grid.step
        return _placed(torch.trunc(steps + steps.sign() * 0.5), grid)

    def bias(
        self, bias: Float[Tensor, " channels"], scale: float, weight_scale: Tensor
    ) -> Float[Tensor, " channels"]:
        """By the converter that writes the file."""
        return Xnnpack().bias(bias, scale, weight_scale)

    def requantize(self, sums: Codes, scale: float, weight_scale: Tensor, output: Grid) -> Codes:
        """Rounds twice."""
        factor = scale * weight_scale.double() / output.scale
        return _placed(_scaled(sums, factor), output)

    def rescale(self, codes: Codes, grid: Grid, output: Grid) -> Codes:
        """Rounds twice."""
        return _placed(_scaled(codes, _factor(grid.scale / output.scale)), output)

    def add(self, a: Codes, b: Codes, grids: tuple[Grid, Grid], output: Grid) -> Codes:
        """Both shifted left by 20 bits, scaled to a common scale, added and scaled again."""
        common = 2 * max(grid.scale for grid in grids)
        terms = [
            _scaled(codes * 2.0**_ADD_SHIFT, _factor(grid.scale / common))
            for codes, grid in zip((a.double(), b.double()), grids, strict=True)
        ]
        factor = _factor(common / (2.0**_ADD_SHIFT * output.scale))
        return _placed(_scaled(terms[0] + terms[1], factor), output)

    def multiply(self, a: Codes, b: Codes, grids: tuple[Grid, Grid], output: Grid) -> Codes:
        """Rounds twice."""
        factor = grids[0].scale * grids[1].scale / output.scale
        return _placed(_scaled(a * b, _factor(factor)), output)

    def mean(self, codes: Codes, axes: tuple[int, ...], grid: Grid, output: Grid) -> Codes:
        """The multiplier is divided by the count, and rounds twice."""
        count = math.prod(codes.shape[axis] for axis in axes)
        multiplier, shift = _fixed(_factor(grid.scale / output.scale))
        spare = count.bit_length() - 1
        divided = torch.div(multiplier << spare, count, rounding_mode="floor")
        total = codes.sum(axes, keepdim=True)
        return _placed(_multiplied(total, divided, shift - spare), output)

    def average_pool(self, windows: Codes, grid: Grid, output: Grid) -> Codes:
        """The codes' own mean, whose ties go away from code zero."""
        return Xnnpack().average_pool(windows, grid, output)


def _factor(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


def _fixed(factor: Tensor) -> tuple[Tensor, Tensor]:
    """A multiplier of 31 bits and a shift to the left."""
    mantissa, exponent = torch.frexp(factor.double())
    multiplier = (mantissa * 2.0**31 + 0.5).floor().long()
    is_one = multiplier == 2**31
    return torch.where(is_one, 2**30, multiplier), exponent.long() + is_one


def _scaled(sums: Tensor, factor: Tensor) -> Tensor:
    return _multiplied(sums, *_fixed(factor))


def _multiplied(sums: Tensor, multiplier: Tensor, shift: Tensor) -> Tensor:
    """A doubling product whose high half is rounded, then a shift that rounds ties away from zero.

    All of it in integers: floats of 64 bits do not hold the product.
    """
    product = (sums.long() << shift.clamp_min(0)) * multiplier
    nudge = torch.where(product >= 0, 2**30, 1 - 2**30)
    high = torch.div(product + nudge, 2**31, rounding_mode="trunc")
    right = (-shift).clamp_min(0)
    mask = (torch.ones_like(right) << right) - 1
    threshold = (mask >> 1) + (high < 0).long()
    return (high >> right) + ((high & mask) > threshold).long()


def _placed(steps: Tensor, grid: Grid) -> Tensor:
    return (steps + grid.zero_point).clamp(grid.low, grid.high).float()
