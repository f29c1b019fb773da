"""The integers of one tensor: scale, zero point, and the codes that are used."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from lilliput.quantize.numbers.fake import FakeQuantize

__all__ = ["Codes", "Grid"]

Codes = Float[Tensor, "..."]
"""Integers, held as floats: 8-bit codes and 32-bit sums of them are exact there."""


@dataclass(frozen=True)
class Grid:
    """`real = scale * (code - zero_point)`.

    Args:
        scale: A float of 32 bits.
        zero_point: The code of zero.
        low: The smallest code.
        high: The largest.
        least: The smallest code of the type, where `low` is what an activation clips to.
        most: The largest code of the type.
    """

    scale: float
    zero_point: int
    low: int
    high: int
    least: int
    most: int

    @staticmethod
    def of(quantizer: FakeQuantize) -> "Grid":
        """The grid of a quantizer with one scale."""
        kind = quantizer.type
        ends = (kind.low, kind.high)
        return Grid(float(quantizer.scale), int(quantizer.zero_point), *ends, *ends)

    def clipped(self, low: float, high: float) -> "Grid":
        """The grid with the codes that reals from `low` to `high` have."""
        ends = torch.tensor([low, high]) / self.step + self.zero_point
        first, last = ends.clamp(self.least, self.most).round().int().tolist()
        return replace(self, low=first, high=last)

    @property
    def step(self) -> Float[Tensor, ""]:
        """The scale as a tensor: arithmetic with it is that of 32 bits."""
        return torch.tensor(self.scale)

    def codes(self, reals: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The codes, less the zero point, of reals that lie on the grid."""
        return (reals / self.step).round()

    def reals(self, codes: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """What codes stand for, as every runtime dequantizes."""
        return (codes - self.zero_point).float() * self.step
