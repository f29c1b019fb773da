"""A quantizer as a module: rounds to the integers' grid and back, and lets gradients through."""

from dataclasses import replace

import torch
from jaxtyping import Shaped
from torch import Tensor, nn

from lilliput.core import IntegerType
from lilliput.quantize.numbers.affine import scale_and_zero_point
from lilliput.quantize.numbers.learned import round_learned

__all__ = ["FakeQuantize", "quantizers", "settle_all"]


class FakeQuantize(nn.Module):
    """Rounds a tensor to `scale * (integer - zero_point)`.

    The gradient passes straight through inside the range, and is zero outside of it.

    A range that follows the tensor widens at once and narrows by `momentum` of the difference each
    time: a mean of ranges would clip, and would be wrong where several tensors share the range.

    Args:
        type: The integers.
        axis: Axis of the channels that have a scale of their own; None for one scale.
        channels: Number of scales.
        group_size: Weights that share a scale within each channel of axis 0; 0 for all of them.
        momentum: In training, how fast the range follows what passes. 1 is always the range of the
            tensor itself, which is right for weights, and holds in eval mode too, so that the last
            weights, or a mean of weights, get their own scale. None keeps the range as it was set.

    Source: Jacob et al. 2018, section 3; gradient: Bengio et al. 2013.
    """

    type: IntegerType  # type: ignore[assignment]  # hides Module.type, a cast nobody needs here
    scale: Tensor
    zero_point: Tensor
    low: Tensor
    high: Tensor
    least: Tensor
    bits: Tensor

    def __init__(
        self,
        type: IntegerType,  # noqa: A002
        axis: int | None = None,
        channels: int = 1,
        momentum: float | None = None,
        group_size: int = 0,
    ) -> None:
        super().__init__()
        self.scale_bits = 32
        self.type, self.axis, self.momentum, self.group_size = type, axis, momentum, group_size
        self.last_type = type
        self.is_enabled = False
        self.register_buffer("low", torch.zeros(channels))
        self.register_buffer("high", torch.zeros(channels))
        self.register_buffer("least", torch.zeros(channels))
        self.register_buffer("scale", torch.ones(channels))
        self.register_buffer("zero_point", torch.zeros(channels, dtype=torch.int32))
        # of the scale, which a checkpoint holds; the type is the code's
        self.register_buffer("bits", torch.tensor(type.bits, dtype=torch.int32))

    def set_range(self, low: Tensor, high: Tensor) -> None:
        """Takes the range of each channel, `high` being at least `least`; acts from now on."""
        low, high = low.view(-1), torch.maximum(high.view(-1), self.least)
        scale, zero_point = scale_and_zero_point(low, high, self.type)
        self.low.copy_(low)
        self.high.copy_(high)
        self.scale.data.copy_(self._held(scale))
        self.zero_point.copy_(zero_point)
        self.is_enabled = True

    def _held(self, scale: Tensor) -> Tensor:
        """A scale as a file holds it that has `scale_bits` for it, 16 being those of bfloat16."""
        return scale.bfloat16().float() if self.scale_bits == 16 else scale

    def rows(self, x: Shaped[Tensor, "..."]) -> Shaped[Tensor, "scales elements"]:
        """The elements of each scale in a row of their own."""
        if self.axis is None:
            return x.reshape(1, -1)
        if self.group_size:
            return x.reshape(-1, self.group_size)
        return x.transpose(0, self.axis).flatten(1)

    def spread(
        self, values: Shaped[Tensor, " scales"], like: Shaped[Tensor, "..."]
    ) -> Shaped[Tensor, "..."]:
        """One value for each scale, in a shape that broadcasts with `like`."""
        if self.axis is None:
            return values.reshape(())
        if self.group_size:
            return values.repeat_interleave(self.group_size).view(like.shape)
        return values.view([-1 if axis == self.axis else 1 for axis in range(like.dim())])

    def learn(self) -> None:
        """Makes the scale a parameter, which training moves; the zero point stays."""
        scale = self.scale.detach().clone()
        del self.scale
        self.scale = nn.Parameter(scale)
        self.momentum = None

    @property
    def learns(self) -> bool:
        """Whether the scale is a parameter."""
        return isinstance(self.scale, nn.Parameter)

    @torch.no_grad()
    def set_bits(self, bits: int) -> None:
        """Takes other bits for the same range; `last_type` remembers what was asked for."""
        before = replace(self.type, bits=int(self.bits))
        self.type = replace(self.last_type, bits=bits)
        self.bits.fill_(bits)
        if self.type.is_power_of_two:
            self.set_range(self.low.clone(), self.high.clone())
            return
        share = (before.high - before.low) / (self.type.high - self.type.low)
        self.scale.data.copy_(self._held(self.scale.data * share))
        self.zero_point.copy_((self.zero_point / share).round())

    @torch.no_grad()
    def settle(self) -> None:
        """Ends learning: the scale is a constant again, and the range what it covers."""
        scale = self._held(self.scale.detach().abs())
        del self.scale
        self.register_buffer("scale", scale)
        self.low.copy_(scale * (self.type.low - self.zero_point))
        self.high.copy_(scale * (self.type.high - self.zero_point))

    def forward(self, x: Tensor) -> Tensor:
        if not self.is_enabled:
            return x
        real = x.float()
        if self._follows():
            self._follow(real.detach())
        return (self._pair(real) if torch.compiler.is_exporting() else self._round(real)).to(
            x.dtype
        )

    def _round(self, x: Tensor) -> Tensor:
        rows = self.rows(x) if self.group_size else x
        axis = 0 if self.group_size else self.axis
        if self.learns:
            self.scale.data.abs_()  # an optimizer may have stepped over zero
        if self.training and self.learns:
            return round_learned(rows, self.scale, self.zero_point, self.type, axis).view_as(x)
        limits = (self.type.low, self.type.high)
        points = (self.scale.detach(), self.zero_point)
        if self.axis is None:
            return torch.fake_quantize_per_tensor_affine(x, *points, *limits)
        assert axis is not None  # noqa: S101
        return torch.fake_quantize_per_channel_affine(rows, *points, axis, *limits).view_as(x)

    def _pair(self, x: Tensor) -> Tensor:
        """Quantize and dequantize: `torch.export` 2.13 cannot trace a scale that is a tensor."""
        # the registration of the operators is this import's only effect
        from torch.ao.quantization.fx import _decomposed  # noqa: F401

        ops = torch.ops.quantized_decomposed
        wide = self.type.bits > 8
        signed, unsigned = (torch.int16, torch.uint16) if wide else (torch.int8, torch.uint8)
        dtype = signed if self.type.is_signed else unsigned
        limits = (self.type.low, self.type.high, dtype)
        if self.axis is None:
            point = (self.scale, self.zero_point, *limits)
            codes = ops.quantize_per_tensor.tensor(x, *point)
            return torch.as_tensor(ops.dequantize_per_tensor.tensor(codes, *point))
        rows = self.rows(x) if self.group_size else x
        channels = (self.scale, self.zero_point, 0 if self.group_size else self.axis, *limits)
        codes = ops.quantize_per_channel(rows, *channels)
        return torch.as_tensor(ops.dequantize_per_channel(codes, *channels)).view_as(x)

    def _follows(self) -> bool:
        # an exported program has the scales as constants
        is_exact = self.momentum == 1 and not torch.compiler.is_exporting()
        return self.momentum is not None and (self.training or is_exact)

    @torch.no_grad()
    def _follow(self, x: Tensor) -> None:
        if not x.numel():
            return
        low, high = self.rows(x).aminmax(dim=1)
        assert self.momentum is not None  # noqa: S101
        self.set_range(
            torch.minimum(low, self.low.lerp(low, self.momentum)),
            torch.maximum(high, self.high.lerp(high, self.momentum)),
        )

    def extra_repr(self) -> str:
        return str(self.type)


def quantizers(module: nn.Module) -> dict[str, FakeQuantize]:
    """Every quantizer that acts, by its name in the network."""
    return {
        name: part
        for name, part in module.named_modules()
        if isinstance(part, FakeQuantize) and part.is_enabled
    }


def settle_all(module: nn.Module) -> None:
    """Ends learning of every scale in a network."""
    for part in module.modules():
        if isinstance(part, FakeQuantize) and part.learns:
            part.settle()
