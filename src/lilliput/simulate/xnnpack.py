"""LiteRT with XNNPACK: floats of 32 bits round the sums, fixed point adds tensors.

Source: XNNPACK, src/microparams-init.c and the kernels qs8-gemm, qs8-dwconv, qs8-vadd, qs8-vmul;
TensorFlow Lite, kernels/internal/optimized/integer_ops/pooling.h.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from lilliput.simulate.grid import Codes, Grid

__all__ = ["Xnnpack"]

_ADD_BITS = 20


@dataclass(frozen=True)
class Xnnpack:
    """The kernels that LiteRT's interpreter takes unless it is told otherwise."""

    gives_floats: bool = False
    clips: bool = True

    def quantize(self, reals: Float[Tensor, "*shape"], grid: Grid) -> Float[Tensor, "*shape"]:
        """Ties to even, before the zero point is added."""
        return _rounded(reals / grid.step, grid)

    def bias(
        self, bias: Float[Tensor, " channels"], scale: float, weight_scale: Tensor
    ) -> Float[Tensor, " channels"]:
        """In floats of 64 bits, by the converter that writes the file."""
        return (bias.double() / (weight_scale.double() * scale)).round()

    def requantize(self, sums: Codes, scale: float, weight_scale: Tensor, output: Grid) -> Codes:
        """One product with a float, and ties to even."""
        factor = weight_scale * torch.tensor(scale) / output.step
        return _rounded(sums.float() * factor, output)

    def rescale(self, codes: Codes, grid: Grid, output: Grid) -> Codes:
        """One product with a float."""
        return _rounded(codes * (grid.step / output.step), output)

    def add(self, a: Codes, b: Codes, grids: tuple[Grid, Grid], output: Grid) -> Codes:
        """Products with integers of 21 bits, and a shift that rounds ties up."""
        ratios = [grid.step / output.step for grid in grids]
        _, exponent = math.frexp(max(float(ratio) for ratio in ratios))
        shift = _ADD_BITS - (exponent - 1)
        factors = [torch.round(ratio.double() * 2.0**shift) for ratio in ratios]
        total = a.double() * factors[0] + b.double() * factors[1]
        steps = torch.floor(total * 2.0**-shift + 0.5)
        return (steps + output.zero_point).clamp(output.low, output.high).float()

    def multiply(self, a: Codes, b: Codes, grids: tuple[Grid, Grid], output: Grid) -> Codes:
        """One product with a float, and ties to even."""
        factor = grids[0].step * grids[1].step / output.step
        return _rounded(a * b * factor, output)

    def mean(self, codes: Codes, axes: tuple[int, ...], grid: Grid, output: Grid) -> Codes:
        """One product of the sum with a float, and ties to even."""
        count = math.prod(codes.shape[axis] for axis in axes)
        factor = grid.step / (output.step * count)
        return _rounded(codes.sum(axes, keepdim=True) * factor, output)

    def average_pool(self, windows: Codes, grid: Grid, output: Grid) -> Codes:
        """The codes' own mean, whose ties go away from code zero."""
        total = (windows + grid.zero_point).double().sum(-1)
        count = windows.shape[-1]
        mean = torch.trunc((total + total.sign() * (count // 2)) / count)
        return mean.clamp(output.low, output.high).float()


def _rounded(steps: Tensor, grid: Grid) -> Tensor:
    return (steps.round() + grid.zero_point).clamp(grid.low, grid.high)
