"""A quantizer as a module: rounds to the integers' grid and back, and lets gradients through."""

import torch
from torch import Tensor, nn

from lilliput.core import IntegerType
from lilliput.quantize.affine import scale_and_zero_point

__all__ = ["FakeQuantize", "quantizers"]


class FakeQuantize(nn.Module):
    """Rounds a tensor to `scale * (integer - zero_point)`.

    The gradient passes straight through inside the range, and is zero outside of it.

    Args:
        type: The integers.
        axis: Axis of the channels that have a scale of their own; None for one scale.
        channels: Number of scales.
        momentum: In training, how much of each batch's range goes into the range: 1 follows the
            tensor (right for weights), 0.01 a running mean (for activations), None keeps it fixed.

    Source: Jacob et al. 2018, section 3; gradient: Bengio et al. 2013.
    """

    scale: Tensor
    zero_point: Tensor
    low: Tensor
    high: Tensor

    def __init__(
        self,
        type: IntegerType,  # noqa: A002
        axis: int | None = None,
        channels: int = 1,
        momentum: float | None = None,
    ) -> None:
        super().__init__()
        self.type, self.axis, self.momentum = type, axis, momentum
        self.is_enabled = False
        self.register_buffer("low", torch.zeros(channels))
        self.register_buffer("high", torch.zeros(channels))
        self.register_buffer("scale", torch.ones(channels))
        self.register_buffer("zero_point", torch.zeros(channels, dtype=torch.int32))

    def set_range(self, low: Tensor, high: Tensor) -> None:
        """Takes the range of each channel, and acts from now on."""
        scale, zero_point = scale_and_zero_point(low.view(-1), high.view(-1), self.type)
        self.low.copy_(low.view(-1))
        self.high.copy_(high.view(-1))
        self.scale.copy_(scale)
        self.zero_point.copy_(zero_point)
        self.is_enabled = True

    def forward(self, x: Tensor) -> Tensor:
        if not self.is_enabled:
            return x
        real = x.float()
        if self.training and self.momentum is not None:
            self._follow(real.detach(), self.momentum)
        limits = (self.type.low, self.type.high)
        if self.axis is None:
            point = (self.scale, self.zero_point)
            rounded = torch.fake_quantize_per_tensor_affine(real, *point, *limits)
        else:
            rounded = torch.fake_quantize_per_channel_affine(
                real, self.scale, self.zero_point, self.axis, *limits
            )
        return rounded.to(x.dtype)

    @torch.no_grad()
    def _follow(self, x: Tensor, momentum: float) -> None:
        if self.axis is None:
            low, high = x.aminmax()
        else:
            low, high = x.transpose(0, self.axis).flatten(1).aminmax(dim=1)
        self.set_range(self.low.lerp(low, momentum), self.high.lerp(high, momentum))

    def extra_repr(self) -> str:
        sign = "int" if self.type.is_signed else "uint"
        where = "per tensor" if self.axis is None else f"per channel of axis {self.axis}"
        return f"{sign}{self.type.bits}, {where}"


def quantizers(module: nn.Module) -> dict[str, FakeQuantize]:
    """Every quantizer that acts, by its name in the network."""
    return {
        name: part
        for name, part in module.named_modules()
        if isinstance(part, FakeQuantize) and part.is_enabled
    }
