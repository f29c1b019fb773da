"""Steps that are learned with the weights."""

import torch
from torch import Tensor

from lilliput.core import IntegerType

__all__ = ["round_learned"]


def round_learned(
    x: Tensor, scale: Tensor, zero_point: Tensor, kind: IntegerType, per_scale: int
) -> Tensor:
    """Rounds to the integers' grid; gradients reach `x` and `scale`.

    Args:
        x: What to round.
        scale: In a shape that broadcasts with `x`.
        zero_point: Likewise; it stays.
        kind: The integers.
        per_scale: How many numbers share a scale: the more there are, the larger is the sum of
            what they say, and the smaller a step the scale may take.

    Source: Esser et al. 2020, "Learned Step Size Quantization", eq. 1 to 3 and section 2.2.
    """
    pace = 1.0 / (per_scale * kind.high) ** 0.5
    scale = scale.clamp_min(torch.finfo(torch.float32).tiny)
    paced = (scale - scale * pace).detach() + scale * pace
    real = (x / paced + zero_point).clamp(kind.low, kind.high)
    codes = (real.round() - real).detach() + real
    rounded: Tensor = (codes - zero_point) * paced
    return rounded
