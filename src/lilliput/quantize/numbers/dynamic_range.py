"""Quantization at run time: each tensor, or each row of it, gets the scale of its own range."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lilliput.core import IntegerType
from lilliput.quantize.numbers.affine import dequantize, quantize, scale_and_zero_point

__all__ = ["DynamicQuantize"]


class DynamicQuantize(nn.Module):
    """Rounds what passes to integers with a zero point, whose range is that of what passes.

    The gradient passes straight through.

    Args:
        bits: Width.
        axes: How many leading axes have ranges of their own: 0 for one range in all, 1 for one for
            each example, -1 for one for each row of the last axis.

    Source: the ONNX operator specification of DynamicQuantizeLinear.
    """

    def __init__(self, bits: int = 8, axes: int = 0) -> None:
        super().__init__()
        self.bits, self.axes = bits, axes

    def forward(self, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        rounded = self._rounded(x.detach())
        return x + (rounded - x).detach()

    def _rounded(self, x: Tensor) -> Tensor:
        kind = IntegerType(self.bits, is_signed=False)
        count = self.axes if self.axes >= 0 else x.dim() - 1
        rows = x.reshape(*x.shape[:count], -1) if count else x.reshape(1, -1)
        low, high = rows.aminmax(dim=-1)
        scale, zero_point = scale_and_zero_point(low.reshape(-1), high.reshape(-1), kind)
        scale, zero_point = (value.view(*low.shape, 1) for value in (scale, zero_point))
        codes = quantize(rows, scale, zero_point, kind)
        return torch.as_tensor(dequantize(codes, scale, zero_point)).view_as(x)

    def extra_repr(self) -> str:
        return f"{self.bits} bits, ranges for {self.axes} axes"
