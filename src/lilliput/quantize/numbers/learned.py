"""Steps that are learned with the weights."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lilliput.core import IntegerType

__all__ = ["round_learned"]

_MOST = 0.02
"""Largest gradient of a scale, as a share of it."""


def round_learned(
    x: Float[Tensor, "..."],
    scale: Float[Tensor, " scales"],
    zero_point: Int[Tensor, " scales"],
    kind: IntegerType,
    axis: int | None = None,
) -> Float[Tensor, "..."]:
    """Rounds to the integers' grid; gradients reach `x` and `scale`, the zero point stays.

    The more numbers share a scale, the larger is the sum of what they say, and the smaller a step
    the scale may take. A gradient is no more than a fiftieth of the scale itself: with momentum of
    0.9, a learning rate of 0.1 takes no scale through zero.

    Args:
        x: What to round.
        scale: One, or one for each index of `axis`.
        zero_point: Likewise.
        kind: The integers.
        axis: Of the scales; None for one scale.

    Source: Esser et al. 2020, "Learned Step Size Quantization", eq. 1 to 3 and section 2.2.
    """
    scale = scale.clamp_min(torch.finfo(torch.float32).tiny)
    rounded: Tensor = _Round.apply(x, scale, zero_point, kind, axis)  # type: ignore[no-untyped-call]
    return rounded


class _Round(torch.autograd.Function):
    """One kernel forward; two sums of products backward, where autograd would keep ten tensors."""

    @staticmethod
    def forward(  # noqa: PLR0913, PLR0917
        ctx: Any, x: Tensor, scale: Tensor, zero_point: Tensor, kind: IntegerType, axis: int | None
    ) -> Tensor:
        limits = (kind.low, kind.high)
        if axis is None:
            rounded = torch.fake_quantize_per_tensor_affine(x, scale, zero_point, *limits)
        else:
            rounded = torch.fake_quantize_per_channel_affine(x, scale, zero_point, axis, *limits)
        shape = [-1 if at == axis else 1 for at in range(x.dim())]
        low, high = (((end - zero_point) * scale).view(shape) for end in limits)
        inside = (x >= low) & (x <= high)
        ctx.save_for_backward(x, scale, rounded, inside)
        ctx.axis, ctx.pace = axis, (x.numel() / scale.numel() * kind.high) ** -0.5
        return rounded

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        x, scale, rounded, inside = ctx.saved_tensors
        passed = slope * inside
        # inside the range the step moves the rounding error, outside of it the end of the range
        moved = _sums(slope, rounded, ctx.axis) - _sums(passed, x, ctx.axis)
        most = scale * _MOST
        return passed, (moved / scale * ctx.pace).clamp(-most, most), None, None, None


def _sums(a: Tensor, b: Tensor, axis: int | None) -> Float[Tensor, " scales"]:
    """Sums of products for each scale."""
    if axis is None:
        # in the order in which they lie in memory, so that nothing is copied
        order = sorted(range(a.dim()), key=a.stride, reverse=True)
        return torch.dot(*(t.permute(order).reshape(-1) for t in (a, b))).view(1)
    return (a * b).transpose(0, axis).flatten(1).sum(1)
