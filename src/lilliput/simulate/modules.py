"""Operators as modules: reals on the operands' grids in, reals on the result's grid out.

What passes between them are reals, as in the network itself, so all that only moves data stays as
it is; inside, everything is an integer.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from lilliput.simulate.arithmetic import Arithmetic
from lilliput.simulate.exact import Sums
from lilliput.simulate.grid import Codes, Grid

__all__ = ["AveragePool", "Binary", "Join", "Mean", "Quantize", "Rescale", "Shift", "Weighted"]

_Combine = Callable[[Codes, Codes, tuple[Grid, Grid], Grid], Codes]


class Quantize(nn.Module):
    """Floats to a grid."""

    def __init__(self, arithmetic: Arithmetic, grid: Grid) -> None:
        super().__init__()
        self.arithmetic, self.grid = arithmetic, grid

    def forward(self, x: Tensor) -> Tensor:
        return self.grid.reals(self.arithmetic.quantize(x.float(), self.grid)).to(x.dtype)


class Rescale(nn.Module):
    """One grid to another."""

    def __init__(self, arithmetic: Arithmetic, grid: Grid, output: Grid) -> None:
        super().__init__()
        self.arithmetic, self.grid, self.output = arithmetic, grid, output

    def forward(self, x: Tensor) -> Tensor:
        codes = self.arithmetic.rescale(self.grid.codes(x), self.grid, self.output)
        return self.output.reals(codes)


class Weighted(nn.Module):
    """A convolution or linear operator with its bias and activation.

    Args:
        arithmetic: The runtime's.
        sums: Its integer part.
        grid: Of the input.
        weight_scale: Of the output channels, in a shape that broadcasts with the result.
        output: Of the result; None where it is left float.
    """

    weight_scale: Tensor

    def __init__(
        self,
        arithmetic: Arithmetic,
        sums: Sums,
        grid: Grid,
        weight_scale: Tensor,
        output: Grid | None,
    ) -> None:
        super().__init__()
        self.arithmetic, self.sums, self.grid, self.output = arithmetic, sums, grid, output
        self.register_buffer("weight_scale", weight_scale)

    def forward(self, x: Tensor) -> Tensor:
        sums: Tensor = self.sums(self.grid.codes(x))
        if self.output is None:
            return sums.float() * (self.grid.step * self.weight_scale)
        scale = self.grid.scale
        codes = self.arithmetic.requantize(sums, scale, self.weight_scale, self.output)
        return self.output.reals(codes)


class Shift(nn.Module):
    """Adds a bias to floats."""

    bias: Tensor

    def __init__(self, bias: Tensor) -> None:
        super().__init__()
        self.register_buffer("bias", bias)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bias


class Binary(nn.Module):
    """A sum or product of two tensors."""

    def __init__(self, combine: _Combine, grids: tuple[Grid, Grid], output: Grid) -> None:
        super().__init__()
        self.combine, self.grids, self.output = combine, grids, output

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        operands = (self.grids[0].codes(a), self.grids[1].codes(b))
        return self.output.reals(self.combine(*operands, self.grids, self.output))


class Join(nn.Module):
    """A concatenation."""

    def __init__(
        self, arithmetic: Arithmetic, axis: int, grids: Sequence[Grid], output: Grid
    ) -> None:
        super().__init__()
        self.axis = axis
        self.rescale = nn.ModuleList(
            nn.Identity() if grid == output else Rescale(arithmetic, grid, output) for grid in grids
        )

    def forward(self, *tensors: Tensor) -> Tensor:
        parts = [part(x) for part, x in zip(self.rescale, tensors, strict=True)]
        return torch.cat(parts, self.axis)


class Mean(nn.Module):
    """A mean over axes; all of them where `axes` is empty."""

    def __init__(
        self,
        arithmetic: Arithmetic,
        axes: tuple[int, ...],
        keeps_axes: bool,
        grid: Grid,
        output: Grid,
    ) -> None:
        super().__init__()
        self.arithmetic, self.axes, self.keeps_axes = arithmetic, axes, keeps_axes
        self.grid, self.output = grid, output

    def forward(self, x: Tensor) -> Tensor:
        axes = self.axes or tuple(range(x.dim()))
        codes = self.arithmetic.mean(self.grid.codes(x), axes, self.grid, self.output)
        reals = self.output.reals(codes)
        return reals if self.keeps_axes else reals.squeeze(axes)


class AveragePool(nn.Module):
    """Means of windows over the last axes; padding counts."""

    def __init__(
        self,
        arithmetic: Arithmetic,
        window: tuple[Sequence[int], Sequence[int], Sequence[int]],
        grid: Grid,
        output: Grid,
    ) -> None:
        super().__init__()
        self.arithmetic, self.grid, self.output = arithmetic, grid, output
        self.kernel, self.stride, self.padding = window

    def forward(self, x: Tensor) -> Tensor:
        sides = [side for size in reversed(self.padding) for side in (size, size)]
        windows = pad(self.grid.codes(x), sides)
        first = x.dim() - len(self.kernel)
        for axis, (size, step) in enumerate(zip(self.kernel, self.stride, strict=True)):
            windows = windows.unfold(first + axis, size, step)
        windows = windows.flatten(x.dim())
        return self.output.reals(self.arithmetic.average_pool(windows, self.grid, self.output))
