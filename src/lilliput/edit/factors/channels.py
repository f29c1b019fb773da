"""Two layers through few channels: the first reads all there is, the second is pointwise.

Source: Zhang et al. 2016, "Accelerating Very Deep Convolutional Networks for Classification and
Detection", eq. 2 to 5: of all projections of the outputs onto so many directions, the one onto the
leading eigenvectors of their covariance loses least.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lilliput.edit.factors.kind import Choice, Factors
from lilliput.edit.layers import Layer, Place
from lilliput.edit.parts import convolution, moves_of, pointwise
from lilliput.edit.reads import Reads, corrected_bias, matrices

__all__ = ["ChannelSvd", "Svd", "balanced"]


@dataclass(frozen=True)
class Svd:
    """Linear layers and convolutions with a kernel of 1 become two of the same through fewer."""

    def suits(self, layer: Layer) -> bool:
        return _has_one_group(layer) and layer.weight[0, 0].numel() == 1

    def factors(self, place: Place, reads: Reads) -> Factors:
        return _Narrowed(place, reads)


@dataclass(frozen=True)
class ChannelSvd:
    """A convolution gets fewer filters, and a kernel of 1 mixes them; linear layers as by `Svd`."""

    def suits(self, layer: Layer) -> bool:
        return _has_one_group(layer)

    def factors(self, place: Place, reads: Reads) -> Factors:
        return _Narrowed(place, reads)


def _has_one_group(layer: Layer) -> bool:
    is_grouped = not isinstance(layer, nn.Linear) and layer.groups > 1
    return not is_grouped and min(layer.weight.shape[:2]) > 1


class _Narrowed:
    def __init__(self, place: Place, reads: Reads) -> None:
        self.place, self.reads = place, reads
        self.weight = matrices(place.layer)[0]
        energies, directions = torch.linalg.eigh(self.weight @ reads.second[0] @ self.weight.T)
        self.energies, self.directions = energies.flip(0).clamp_min(0), directions.flip(1)

    @property
    def limits(self) -> tuple[int, ...]:
        return (min(self.weight.shape),)

    def choices(self) -> list[Choice]:
        positions = sum(math.prod(run.given) for run in self.place.runs)
        each = positions * sum(self.weight.shape)
        total = float(self.energies.sum()) or 1.0
        kept = (self.energies.cumsum(0) / total).tolist()
        return [
            Choice((rank,), rank * each, max(0.0, 1 - kept[rank - 1]))
            for rank in range(1, self.limits[0] + 1)
        ]

    def build(self, ranks: tuple[int, ...]) -> list[nn.Module]:
        layer = self.place.layer
        second = self.directions[:, : ranks[0]]
        first = second.T @ self.weight
        bias = corrected_bias(layer, self.reads, (self.weight - second @ first)[None])
        first, second = balanced(first, second)
        if isinstance(layer, nn.Linear):
            return [pointwise(layer, first), pointwise(layer, second, bias)]
        reader = convolution(layer, first.reshape(-1, *layer.weight.shape[1:]), moves_of(layer))
        return [reader, pointwise(layer, second, bias)]


def balanced(
    first: Float[Tensor, "rank fan"], second: Float[Tensor, "out rank"]
) -> tuple[Float[Tensor, "rank fan"], Float[Tensor, "out rank"]]:
    """The same product with rows and columns of equal length, so that both factors learn alike."""
    lengths = first.norm(dim=1) / second.norm(dim=0).clamp_min(1e-30)
    scale = torch.where(lengths > 0, lengths, torch.ones_like(lengths)).sqrt()
    return first / scale[:, None], second * scale
