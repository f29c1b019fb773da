"""Affine quantization: real = scale * (integer - zero_point).

Source: Jacob et al. 2018, eq. 1.
"""

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from lilliput.core import IntegerType

__all__ = ["dequantize", "quantize", "scale_and_zero_point"]


def scale_and_zero_point(
    low: Float[Tensor, " channels"], high: Float[Tensor, " channels"], kind: IntegerType
) -> tuple[Float[Tensor, " channels"], Int[Tensor, " channels"]]:
    """The step and the integer of zero for ranges; zero is always exactly representable.

    Args:
        low: Smallest real of each range; a range is widened to hold zero.
        high: Largest.
        kind: The integers.

    Source: Jacob et al. 2018, section 3.
    """
    low, high = low.float().clamp_max(0.0), high.float().clamp_min(0.0)
    tiny = torch.finfo(torch.float32).tiny * 2**16
    if kind.is_symmetric:
        middle = 0 if kind.is_signed else 2 ** (kind.bits - 1)
        scale = torch.maximum(-low, high).clamp_min(tiny) / (kind.high - middle)
        scale = _power_of_two(scale) if kind.is_power_of_two else scale
        return scale, torch.full_like(scale, middle, dtype=torch.int32)
    scale = (high - low).clamp_min(tiny) / (kind.high - kind.low)
    scale = _power_of_two(scale) if kind.is_power_of_two else scale
    zero_point = (kind.low - low / scale).round().clamp(kind.low, kind.high)
    return scale, zero_point.to(torch.int32)


def _power_of_two(scale: Float[Tensor, " channels"]) -> Float[Tensor, " channels"]:
    """The least power of two that is no smaller, so that nothing is clipped."""
    return torch.exp2(torch.log2(scale).ceil())


def quantize(
    real: Float[Tensor, "*shape"],
    scale: Float[Tensor, "*broadcast"],
    zero_point: Int[Tensor, "*broadcast"],
    kind: IntegerType,
) -> Int[Tensor, "*shape"]:
    """The nearest integers (ties to even), as int32; out of range takes the nearest end."""
    codes = (real / scale).round() + zero_point
    return codes.clamp(kind.low, kind.high).to(torch.int32)


def dequantize(
    integers: Shaped[Tensor, "*shape"],
    scale: Float[Tensor, "*broadcast"],
    zero_point: Int[Tensor, "*broadcast"],
) -> Shaped[Tensor, "*shape"]:
    """The reals that the integers stand for; codes between integers have reals too."""
    return (integers - zero_point) * scale
