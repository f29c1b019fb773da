"""A convolution between fewer channels, with a pointwise one before it and one after.

Source: Kim et al. 2016, "Compression of Deep Convolutional Neural Networks for Fast and Low Power
Mobile Applications", eq. 2 to 4; refined by higher-order orthogonal iteration, De Lathauwer et al.
2000.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lilliput.edit.factors.kind import Choice, Factors
from lilliput.edit.layers import Layer, Place
from lilliput.edit.parts import convolution, moves_of, pointwise
from lilliput.edit.reads import Reads, corrected_bias, matrices, right_solved

__all__ = ["Tucker"]

_MOST_LEVELS = 48
"""Ranks tried along each axis."""


@dataclass(frozen=True)
class Tucker:
    """A kernel becomes a pointwise layer, a kernel between fewer channels, and a pointwise layer.

    Args:
        sweeps: How often each side is fitted again to the other.
    """

    sweeps: int = 3

    def __post_init__(self) -> None:
        if self.sweeps < 0:
            raise ValueError(f"sweeps must be 0 or more, got {self.sweeps}")

    def suits(self, layer: Layer) -> bool:
        is_convolution = not isinstance(layer, nn.Linear) and layer.groups == 1
        return is_convolution and layer.weight[0, 0].numel() > 1 and min(layer.weight.shape[:2]) > 1

    def factors(self, place: Place, reads: Reads) -> Factors:
        return _Cored(place, reads, self.sweeps)


class _Cored:
    """Directions of the outputs lose least by what they carry, those of the inputs likewise.

    What is read counts in full for the outputs. For the inputs it counts as if places of the kernel
    had nothing to do with each other, since a direction of channels is the same for all places.
    """

    def __init__(self, place: Place, reads: Reads, sweeps: int) -> None:
        assert not isinstance(place.layer, nn.Linear)  # noqa: S101  as `suits` says
        self.layer, self.place, self.reads, self.sweeps = place.layer, place, reads, sweeps
        self.flat = matrices(place.layer)[0]
        self.weight = self.flat.reshape(*place.layer.weight.shape[:2], -1)
        _, channels, size = self.weight.shape
        by_place = reads.second[0].reshape(channels, size, channels, size)
        root = torch.linalg.cholesky(torch.einsum("ikjk->ij", by_place) / size)
        self.root = root
        self.white = torch.einsum("oik,ij->ojk", self.weight, root)

    @property
    def limits(self) -> tuple[int, ...]:
        out, before, size = self.weight.shape
        return min(out, before * size), min(before, out * size)

    def choices(self) -> list[Choice]:
        out, before, size = self.weight.shape
        reading = sum(math.prod(run.read) for run in self.place.runs)
        giving = sum(math.prod(run.given) for run in self.place.runs)
        core = torch.einsum("oa,ojk,jb->abk", self._outward(self.flat), self.white, self._inward())
        kept = core.square().sum(2).cumsum(0).cumsum(1)
        lost = (1 - kept / kept[-1, -1].clamp_min(1e-300)).clamp_min(0)
        return [
            Choice(
                (a, b),
                reading * before * b + giving * (a * b * size + a * out),
                float(lost[a - 1, b - 1]),
            )
            for a in _levels(self.limits[0])
            for b in _levels(self.limits[1])
        ]

    def build(self, ranks: tuple[int, ...]) -> list[nn.Module]:
        layer, (after, before) = self.layer, ranks
        narrow = self._inward()[:, :before]
        for _ in range(self.sweeps + 1):
            mixed, spread = self._fitted(narrow)
            carried = mixed @ spread
            outward = self._outward(carried)[:, :after]
            inward = torch.einsum("oa,ojk->ajk", outward, self.white)
            last, narrow = narrow, _leading(inward.transpose(0, 1).flatten(1))[:, :before]
        core = outward.T @ mixed
        change = self.flat - outward @ core @ spread
        lowered = self._lowered(last)
        lengths = lowered.norm(dim=1).clamp_min(1e-30)
        core = core.reshape(after, before, -1) * lengths[:, None]
        return [
            pointwise(layer, lowered / lengths[:, None]),
            convolution(layer, core.reshape(after, before, *layer.kernel_size), moves_of(layer)),
            pointwise(layer, outward, corrected_bias(layer, self.reads, change[None])),
        ]

    def _inward(self) -> Float[Tensor, "in in"]:
        """Directions of the whitened inputs, the strongest first."""
        return _leading(self.white.transpose(0, 1).flatten(1))

    def _outward(self, flat: Float[Tensor, "out fan"]) -> Float[Tensor, "out out"]:
        """Directions of the outputs of such weights, the strongest first."""
        directions: Tensor = torch.linalg.eigh(flat @ self.reads.second[0] @ flat.T).eigenvectors
        return directions.flip(1)

    def _lowered(self, narrow: Float[Tensor, "in rank"]) -> Float[Tensor, "rank in"]:
        """The pointwise layer that gives these directions of what is read."""
        solved: Tensor = torch.linalg.solve_triangular(self.root.T, narrow, upper=True)
        return solved.T

    def _fitted(
        self, narrow: Float[Tensor, "in rank"]
    ) -> tuple[Float[Tensor, "out mixed"], Float[Tensor, "mixed fan"]]:
        """The kernel after a pointwise layer by least squares, and what that layer gives it."""
        size = self.weight.shape[2]
        eye = torch.eye(size, dtype=narrow.dtype, device=narrow.device)
        spread = torch.kron(self._lowered(narrow).contiguous(), eye)
        mixed = torch.einsum("ojk,jb->obk", self.white, narrow).flatten(1)
        read = self.reads.second[0] @ spread.T
        return mixed + right_solved((self.flat - mixed @ spread) @ read, spread @ read), spread


def _leading(matrix: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows rows"]:
    directions: Tensor = torch.linalg.eigh(matrix @ matrix.T).eigenvectors
    return directions.flip(1)


def _levels(limit: int) -> list[int]:
    count = min(limit, _MOST_LEVELS)
    return sorted({round(limit * (k + 1) / count) for k in range(count)})
