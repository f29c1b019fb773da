"""A convolution over two axes becomes one over the height and one over the width.

Source: Jaderberg et al. 2014, "Speeding up Convolutional Neural Networks with Low Rank Expansions",
scheme 2, whose optimum without data is a singular value decomposition (section 2.3).
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lilliput.edit.factors.kind import Choice, Factors
from lilliput.edit.layers import Layer, Place
from lilliput.edit.parts import Moves, convolution
from lilliput.edit.reads import Reads, corrected_bias, right_solved

__all__ = ["SpatialSvd"]


@dataclass(frozen=True)
class SpatialSvd:
    """A kernel over height and width becomes one over the height, then one over the width."""

    def suits(self, layer: Layer) -> bool:
        return isinstance(layer, nn.Conv2d) and layer.groups == 1 and min(layer.kernel_size) > 1

    def factors(self, place: Place, reads: Reads) -> Factors:
        return _Crossed(place, reads)


class _Crossed:
    """The kernels as a matrix: input channels and height by output channels and width."""

    def __init__(self, place: Place, reads: Reads) -> None:
        assert isinstance(place.layer, nn.Conv2d)  # noqa: S101  as `suits` says
        self.layer, self.place, self.reads = place.layer, place, reads
        self.weight = place.layer.weight.detach().double()
        self.matrix = self.weight.permute(1, 2, 0, 3).flatten(2).flatten(0, 1)
        rows, width = len(self.matrix), self.weight.shape[3]
        by_row = reads.second[0].reshape(rows, width, rows, width)
        root = torch.linalg.cholesky(torch.einsum("axbx->ab", by_row) / width)
        _, values, right = torch.linalg.svd(root.T @ self.matrix, full_matrices=False)
        self.energies, self.right = values.square(), right

    @property
    def limits(self) -> tuple[int, ...]:
        return (min(self.matrix.shape),)

    def choices(self) -> list[Choice]:
        out, _, _, width = self.weight.shape
        upright = sum(math.prod(r.given[:-1]) * r.read[-1] for r in self.place.runs)
        across = sum(math.prod(r.given) for r in self.place.runs)
        each = upright * len(self.matrix) + across * out * width
        kept = (self.energies.cumsum(0) / (float(self.energies.sum()) or 1.0)).tolist()
        return [
            Choice((rank,), rank * each, max(0.0, 1 - kept[rank - 1]))
            for rank in range(1, self.limits[0] + 1)
        ]

    def build(self, ranks: tuple[int, ...]) -> list[nn.Module]:
        layer, (rank,) = self.layer, ranks
        out, before, height, width = self.weight.shape
        right = self.right[:rank]
        upright = (self.matrix @ right.T).T
        across = right.reshape(rank, out, width).permute(1, 0, 2)
        lengths = upright.norm(dim=1).clamp_min(1e-30).sqrt()
        upright, across = upright / lengths[:, None], across * lengths[:, None]
        across, change = self._fitted(upright, across)
        pad = layer.padding if isinstance(layer.padding, str) else None
        first = convolution(
            layer,
            upright.reshape(rank, before, height, 1),
            Moves((layer.stride[0], 1), pad or (int(layer.padding[0]), 0), (layer.dilation[0], 1)),
        )
        second = convolution(
            layer,
            across[:, :, None],
            Moves((1, layer.stride[1]), pad or (0, int(layer.padding[1])), (1, layer.dilation[1])),
            corrected_bias(layer, self.reads, change[None]),
        )
        return [first, second]

    def _fitted(
        self, upright: Float[Tensor, "rank rows"], across: Float[Tensor, "out rank width"]
    ) -> tuple[Float[Tensor, "out rank width"], Float[Tensor, "out fan"]]:
        """The second factor by least squares on what the first gives, and what still is lost."""
        width = across.shape[2]
        # what the first gives at all places that the second reads, from what is read in all
        spread = torch.kron(
            upright.contiguous(), torch.eye(width, dtype=upright.dtype, device=upright.device)
        )
        second, weight = self.reads.second[0], self.weight.flatten(1)
        flat = across.flatten(1)
        read = second @ spread.T
        flat = flat + right_solved((weight - flat @ spread) @ read, spread @ read)
        return flat.reshape(across.shape), weight - flat @ spread
