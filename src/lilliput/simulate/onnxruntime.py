"""ONNX Runtime on x86-64: integers in, integer sums, and floats of 32 bits to round them.

Source: ONNX Runtime 1.32.0, onnxruntime/core/mlas/lib (quantize.cpp, qladd.cpp and its AVX2 kernel,
qlmul.cpp) and onnxruntime/contrib_ops/cpu/quantization (qlinear_pool.cc, qlinear_concat.cc).
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from lilliput.simulate.eigen import sum_rows
from lilliput.simulate.grid import Codes, Grid

__all__ = ["OnnxRuntime"]


@dataclass(frozen=True)
class OnnxRuntime:
    """The kernels of the CPU provider where `vpdpbusd` (AVX512-VNNI or AVX-VNNI) adds exactly.

    Older processors add pairs of products in 16 bits, which may clip; that is not simulated.
    """

    gives_floats: bool = True
    clips: bool = False

    def quantize(self, reals: Float[Tensor, "*shape"], grid: Grid) -> Float[Tensor, "*shape"]:
        """Ties to even, before the zero point is added."""
        return _rounded(reals / grid.step, grid)

    def bias(
        self, bias: Float[Tensor, " channels"], scale: float, weight_scale: Tensor
    ) -> Float[Tensor, " channels"]:
        """In floats of 32 bits, the scale too; ties to even."""
        return (bias / (weight_scale * torch.tensor(scale))).round().double()

    def requantize(self, sums: Codes, scale: float, weight_scale: Tensor, output: Grid) -> Codes:
        """One product with a float, and ties to even."""
        factor = weight_scale * torch.tensor(scale) / output.step
        return _rounded(sums.float() * factor, output)

    def rescale(self, codes: Codes, grid: Grid, output: Grid) -> Codes:
        """Through floats."""
        return self.quantize(codes * grid.step, output)

    def add(self, a: Codes, b: Codes, grids: tuple[Grid, Grid], output: Grid) -> Codes:
        """Two fused multiply-adds, the zero points folded into one constant before."""
        ratios = [grid.step / output.step for grid in grids]
        points = [grid.zero_point for grid in grids]
        constant = output.zero_point - (ratios[0] * points[0] + ratios[1] * points[1])
        second = _multiply_add(b + points[1], ratios[1], constant)
        total = _multiply_add(a + points[0], ratios[0], second)
        return total.round().clamp(output.low, output.high)

    def multiply(self, a: Codes, b: Codes, grids: tuple[Grid, Grid], output: Grid) -> Codes:
        """The zero point is added before ties go to even."""
        factor = grids[0].step * grids[1].step / output.step
        return (a * b * factor + output.zero_point).round().clamp(output.low, output.high)

    def mean(self, codes: Codes, axes: tuple[int, ...], grid: Grid, output: Grid) -> Codes:
        """In floats, between a dequantize and a quantize.

        In the runtime's own order where the axes are the last ones; the order of others is not
        known, and their exact sum stands for it.
        """
        reals = codes * grid.step
        count = math.prod(reals.shape[axis] for axis in axes)
        first = reals.dim() - len(axes)
        if sorted(axis % reals.dim() for axis in axes) == list(range(first, reals.dim())):
            total = sum_rows(reals.reshape(-1, count)).view(*reals.shape[:first], *[1] * len(axes))
        else:
            total = reals.double().sum(axes, keepdim=True).float()
        return self.quantize(total / count, output)

    def average_pool(self, windows: Codes, grid: Grid, output: Grid) -> Codes:
        """Floats added one after the other; the zero point is added before ties go to even."""
        total = torch.zeros_like(windows[..., 0])
        for value in (windows * grid.step).unbind(-1):
            total = total + value
        mean = total / windows.shape[-1]
        rounded = (mean / output.step + output.zero_point).round()
        return rounded.clamp(output.low, output.high)


def _rounded(steps: Tensor, grid: Grid) -> Tensor:
    return (steps.round() + grid.zero_point).clamp(grid.low, grid.high)


def _multiply_add(x: Tensor, factor: Tensor, addend: Tensor) -> Tensor:
    """A product and a sum that are rounded once."""
    return (x.double() * factor.double() + addend.double()).float()
