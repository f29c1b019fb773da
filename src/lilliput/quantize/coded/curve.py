"""What a tensor takes and loses at each step it could be rounded to."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["MOST", "Choice", "curve", "entropy_bits", "rounded_to", "rounded_vector"]

MOST = 2**15 - 1
"""The largest integer."""
_FINEST, _COARSEST, _PER_OCTAVE = -9, 2, 4
"""Steps from 2^-9 to 2^2 standard deviations."""
_SAMPLE = 1 << 18
_VECTOR_STEP = 1 / 128
"""Of the size of a bias's or a norm's numbers: 0.2 % of it is lost, for some 9 bits a number."""
_TYPICAL = 1.5
"""Root mean square over median size of normal numbers."""


@dataclass(frozen=True)
class Choice:
    """A step for a tensor.

    Args:
        step: Real value of an integer's unit.
        bits: That the tensor takes, by the order-0 entropy of its integers.
        error: Mean squared error of its weights.
    """

    step: float
    bits: float
    error: float


def rounded_to(step: float, weight: Float[Tensor, "..."]) -> Int[Tensor, "..."]:
    """The nearest integers."""
    return (weight / step).round().clamp(-MOST, MOST).to(torch.int32)


def rounded_vector(vector: Float[Tensor, "*numbers"]) -> Float[Tensor, "*numbers"]:
    """What has no step of its own, such as a bias, as multiples of one that loses next to nothing.

    The step follows the root mean square, or the median where few numbers are far larger.
    """
    sizes = vector.detach().abs()
    sizes = sizes[sizes > 0]
    if not len(sizes):
        return vector
    typical = min(float(sizes.square().mean().sqrt()), _TYPICAL * float(sizes.median()))
    step = max(typical * _VECTOR_STEP, float(sizes.max()) / MOST)
    return rounded_to(step, vector) * step


def entropy_bits(integers: Int[Tensor, "..."]) -> float:
    """Of all of them, each by itself.

    Source: Shannon 1948, section 6.
    """
    flat = integers.flatten().long()
    if not len(flat):
        return 0.0
    counts = torch.bincount(flat - flat.min())
    counts = counts[counts > 0].double()
    return float((counts * torch.log2(counts.sum() / counts)).sum())


@torch.no_grad()
def curve(weight: Float[Tensor, "..."]) -> list[Choice]:
    """Steps from the finest to the coarsest, 4 an octave.

    Args:
        weight: At least one number; of large tensors a part is looked at.
    """
    flat = weight.detach().float().flatten()
    some = flat[:: max(1, len(flat) // _SAMPLE)]
    spread = float(some.square().mean().sqrt()) or 1.0
    finest = max(spread * 2.0**_FINEST, float(flat.abs().max()) / MOST)
    count = max(1, math.floor(_PER_OCTAVE * (math.log2(spread / finest) + _COARSEST)) + 1)
    steps = [finest * 2.0 ** (place / _PER_OCTAVE) for place in range(count)]
    return [_choice(step, some, len(flat)) for step in steps]


def _choice(step: float, some: Float[Tensor, " some"], count: int) -> Choice:
    integers = rounded_to(step, some)
    error = float((integers * step - some).square().mean())
    return Choice(step, entropy_bits(integers) * count / len(some), error)
