"""The numbers that a layer's weights can be, filter by filter."""

from dataclasses import dataclass

from jaxtyping import Float, Int, Shaped
from torch import Tensor

from lilliput.core import IntegerType
from lilliput.graph import filters
from lilliput.quantize.numbers.affine import dequantize, quantize
from lilliput.quantize.numbers.fake import FakeQuantize

__all__ = ["Grid"]

Filters = Shaped[Tensor, "groups each fan"]


@dataclass(frozen=True, eq=False)
class Grid:
    """Scale and zero point of every weight, by group."""

    scale: Filters
    zero_point: Filters
    kind: IntegerType

    @staticmethod
    def of(quantizer: FakeQuantize, weight: Float[Tensor, "out ..."], groups: int) -> "Grid":
        """The grid of a quantizer for a weight whose channels fall into groups."""
        scale = quantizer.spread(quantizer.scale.detach(), weight).expand_as(weight)
        zero_point = quantizer.spread(quantizer.zero_point, weight).expand_as(weight)
        return Grid(filters(scale, groups), filters(zero_point, groups), quantizer.type)

    def codes(
        self, real: Shaped[Tensor, "..."], at: slice | int = slice(None)
    ) -> Int[Tensor, "..."]:
        """The nearest codes; `at` are the columns that are given."""
        return quantize(real, self.scale[..., at], self.zero_point[..., at], self.kind)

    def real(
        self, codes: Shaped[Tensor, "..."], at: slice | int = slice(None)
    ) -> Shaped[Tensor, "..."]:
        """What codes stand for."""
        return dequantize(codes, self.scale[..., at], self.zero_point[..., at])
