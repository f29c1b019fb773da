"""What a runtime's integer kernels compute, operator by operator."""

from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from lilliput.simulate.grid import Codes, Grid

__all__ = ["Arithmetic"]


@runtime_checkable
class Arithmetic(Protocol):
    """The rounding of a runtime.

    Operands are codes less their zero point; results are codes.
    """

    @property
    def gives_floats(self) -> bool:
        """Whether a linear operator's sums become floats.

        They do where no quantizer follows, and where it has more than two axes and a bias, which is
        then added as it is.
        """
        ...

    @property
    def clips(self) -> bool:
        """Whether kernels clip to the codes of an activation that the result's range exceeds."""
        ...

    def quantize(self, reals: Float[Tensor, "*shape"], grid: Grid) -> Float[Tensor, "*shape"]:
        """Rounds floats."""
        ...

    def bias(
        self, bias: Float[Tensor, " channels"], scale: float, weight_scale: Tensor
    ) -> Float[Tensor, " channels"]:
        """Rounds biases to 32 bits; their scale is the input's times the weight's."""
        ...

    def requantize(self, sums: Codes, scale: float, weight_scale: Tensor, output: Grid) -> Codes:
        """Rounds the sums of a convolution or linear operator.

        Args:
            sums: Of products of input and weight, and the bias.
            scale: Of the input.
            weight_scale: Of the output channels, in a shape that broadcasts with `sums`.
            output: Of the result.
        """
        ...

    def rescale(self, codes: Codes, grid: Grid, output: Grid) -> Codes:
        """Gives codes another scale, as a concatenation does."""
        ...

    def add(self, a: Codes, b: Codes, grids: tuple[Grid, Grid], output: Grid) -> Codes:
        """The sum of two tensors, or of a tensor and one that broadcasts with it."""
        ...

    def multiply(self, a: Codes, b: Codes, grids: tuple[Grid, Grid], output: Grid) -> Codes:
        """The product of two tensors."""
        ...

    def mean(self, codes: Codes, axes: tuple[int, ...], grid: Grid, output: Grid) -> Codes:
        """The mean over some axes, which stay with size 1."""
        ...

    def average_pool(self, windows: Codes, grid: Grid, output: Grid) -> Codes:
        """The mean over the last axis, which goes: the values of each window in the order of rows.

        Zeros of the padding are among them.
        """
        ...
