"""Convolutions and linear operators with sums that are exact integers."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from lilliput.simulate.grid import Codes

__all__ = ["Sums"]

_EXACT_IN_FLOAT32 = 2**24


class Sums(nn.Module):
    """An operator's sums of products of codes, and biases, as a runtime's 32 bits hold them.

    Floats of 32 bits are exact, and in whatever order they are added, where no sum of magnitudes
    reaches 2^24; elsewhere floats of 64 bits are.

    Args:
        operator: Takes input and weight.
        weight: Codes.
        bias: Codes, in a shape that broadcasts with the result; None for none.
        largest: Magnitude that the input's codes, less their zero point, do not exceed.
        output_axis: Of the weight: its output channels.
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(
        self,
        operator: Callable[[Tensor, Tensor], Tensor],
        weight: Codes,
        bias: Tensor | None,
        largest: int,
        output_axis: int,
    ) -> None:
        super().__init__()
        self.operator = operator
        # of a grouped transposed convolution, more than each channel's
        magnitude = float(weight.abs().double().transpose(0, output_axis).flatten(1).sum(1).max())
        magnitude = magnitude * largest + (0.0 if bias is None else float(bias.abs().max()))
        dtype = torch.float32 if magnitude < _EXACT_IN_FLOAT32 else torch.float64
        self.register_buffer("weight", weight.to(dtype))
        self.register_buffer("bias", None if bias is None else bias.to(dtype))

    def forward(self, codes: Codes) -> Codes:
        sums = self.operator(codes.to(self.weight.dtype), self.weight)
        return sums if self.bias is None else sums + self.bias
