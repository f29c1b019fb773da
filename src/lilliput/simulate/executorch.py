"""ExecuTorch with XNNPACK: LiteRT's kernels, between floats that it rounds itself.

Source: XNNPACK, src/microparams-init.c; ExecuTorch 1.5.1,
backends/xnnpack/operators/quant_params.py; PyTorch 2.13,
torch/ao/quantization/fx/_decomposed.py, quantize_per_channel.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from lilliput.simulate.grid import Codes, Grid
from lilliput.simulate.xnnpack import Xnnpack

__all__ = ["ExecuTorchXnnpack"]

_KERNELS = Xnnpack()


@dataclass(frozen=True)
class ExecuTorchXnnpack:
    """The kernels that ExecuTorch's XNNPACK takes on x86-64."""

    gives_floats: bool = False
    clips: bool = True

    def quantize(self, reals: Float[Tensor, "*shape"], grid: Grid) -> Float[Tensor, "*shape"]:
        """One product with the inverse of the scale, and ties to even."""
        codes = (reals * (1 / grid.step)).round() + grid.zero_point
        return codes.clamp(grid.low, grid.high)

    def bias(
        self, bias: Float[Tensor, " channels"], scale: float, weight_scale: Tensor
    ) -> Float[Tensor, " channels"]:
        """In floats of 32 bits, times the inverse of the scale."""
        return (bias * (1.0 / (weight_scale * scale))).round()

    def requantize(self, sums: Codes, scale: float, weight_scale: Tensor, output: Grid) -> Codes:
        """As XNNPACK does for LiteRT."""
        return _KERNELS.requantize(sums, scale, weight_scale, output)

    def rescale(self, codes: Codes, grid: Grid, output: Grid) -> Codes:
        """Through floats: they are dequantized, and quantized again."""
        return self.quantize(codes.float() * grid.step, output)

    def add(self, a: Codes, b: Codes, grids: tuple[Grid, Grid], output: Grid) -> Codes:
        """As XNNPACK does for LiteRT."""
        return _KERNELS.add(a, b, grids, output)

    def multiply(self, a: Codes, b: Codes, grids: tuple[Grid, Grid], output: Grid) -> Codes:
        """As XNNPACK does for LiteRT."""
        return _KERNELS.multiply(a, b, grids, output)

    def mean(self, codes: Codes, axes: tuple[int, ...], grid: Grid, output: Grid) -> Codes:
        """As XNNPACK does for LiteRT."""
        return _KERNELS.mean(codes, axes, grid, output)

    def average_pool(self, windows: Codes, grid: Grid, output: Grid) -> Codes:
        """Of floats, which it never reads here: ExecuTorch gives XNNPACK no pools of integers."""
        return self.quantize(windows.float().mean(-1) * grid.step, output)
