"""Which weights may go together. Runtimes that skip zeros want them in certain places.

A weight is seen as matrices of outputs by inputs, one for each position of a filter: the input
channels of one position lie side by side, as runtimes with channels last store them.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from lilliput.prune.weights.limit import limit_of

__all__ = ["NOfM", "Pattern", "Unstructured", "WeightBlocks", "largest"]

Scores = Float[Tensor, "out in ..."]
Keep = Bool[Tensor, "out in ..."]


@runtime_checkable
class Pattern(Protocol):
    """Anything that chooses, by scores, which weights of a layer stay."""

    @property
    def sparsity(self) -> float | None:
        """The share of zeros that the pattern itself fixes, if it does."""
        ...

    @property
    def width(self) -> int:
        """How many neighbouring inputs are looked at together."""
        ...

    def fits(self, shape: tuple[int, ...], /) -> bool:
        """Whether a weight of that shape, outputs first, can have the pattern."""
        ...

    def pooled(self, scores: Scores, /) -> Scores:
        """The score of what each weight goes with."""
        ...

    def keep(self, scores: Scores, number: int, /) -> Keep:
        """True for about so many weights of the highest scores."""
        ...


@dataclass(frozen=True)
class Unstructured:
    """Each weight by itself: the least loss of accuracy; files shrink, few runtimes are faster."""

    @property
    def sparsity(self) -> float | None:
        return None

    @property
    def width(self) -> int:
        return 1

    def fits(self, _shape: tuple[int, ...], /) -> bool:
        return True

    def pooled(self, scores: Scores, /) -> Scores:
        return scores

    def keep(self, scores: Scores, number: int, /) -> Keep:
        return largest(scores, number)


@dataclass(frozen=True)
class NOfM:
    """Of every few neighbouring input channels so many stay, as 2 of 4 for NVIDIA's tensor cores.

    The neighbours are input features of a linear layer, and input channels of a convolution at one
    position of its filter. Layers whose inputs do not divide stay dense. Where more weights are to
    stay than the pattern leaves, as while sparsity grows, the largest of the others stay too.

    Source: Mishra et al. 2021, "Accelerating Sparse Deep Neural Networks", sections 3 and 4.

    Args:
        kept: How many stay.
        of: Of how many.
    """

    kept: int = 2
    of: int = 4

    def __post_init__(self) -> None:
        if not 1 <= self.kept < self.of:
            raise ValueError(f"kept must be 1 to {self.of - 1} of {self.of}, got {self.kept}")

    @property
    def sparsity(self) -> float | None:
        return 1 - self.kept / self.of

    @property
    def width(self) -> int:
        return self.of

    def fits(self, shape: tuple[int, ...], /) -> bool:
        return shape[1] % self.of == 0

    def pooled(self, scores: Scores, /) -> Scores:
        return scores

    def keep(self, scores: Scores, number: int, /) -> Keep:
        lines = scores.movedim(1, -1)
        grouped = lines.reshape(*lines.shape[:-1], -1, self.of)
        chosen = grouped.topk(self.kept, -1).indices
        keep = torch.zeros_like(grouped, dtype=torch.bool).scatter_(-1, chosen, value=True)
        keep = keep.reshape(lines.shape).movedim(-1, 1)
        more = number - int(keep.sum())
        return keep | largest(scores.masked_fill(keep, -torch.inf), more) if more > 0 else keep


@dataclass(frozen=True)
class WeightBlocks:
    """Blocks of outputs by inputs, ranked by the mean of their scores.

    Runtimes with sparse kernels like 1x4, 4x1 or 8x8. At the edges of a weight whose sizes do not
    divide, blocks are smaller.

    Source: Elsen et al. 2020, "Fast Sparse ConvNets", section 3.

    Args:
        rows: Neighbouring outputs in a block.
        columns: Neighbouring inputs in a block, at one position of a filter.
    """

    rows: int = 1
    columns: int = 4

    def __post_init__(self) -> None:
        for name, size in (("rows", self.rows), ("columns", self.columns)):
            if size < 1:
                raise ValueError(f"{name} must be 1 or more, got {size}")

    @property
    def sparsity(self) -> float | None:
        return None

    @property
    def width(self) -> int:
        return self.columns

    def fits(self, _shape: tuple[int, ...], /) -> bool:
        return True

    def pooled(self, scores: Scores, /) -> Scores:
        sums, sizes = self._summed(scores)
        return self._spread(sums / sizes, scores)

    def keep(self, scores: Scores, number: int, /) -> Keep:
        sums, sizes = self._summed(scores)
        order = (sums / sizes).flatten().argsort(descending=True, stable=True)
        kept = sizes.flatten()[order].cumsum(0)
        blocks = int((kept - number).abs().argmin()) + 1 if number > 0 else 0
        keep = torch.zeros(sums.numel(), dtype=torch.bool, device=scores.device)
        keep[order[:blocks]] = True
        return self._spread(keep.view(sums.shape), scores)

    def _summed(self, scores: Scores) -> tuple[Tensor, Tensor]:
        """Sum and number of the scores of each block, by position, row and column."""
        matrices = scores.flatten(2).permute(2, 0, 1) if scores.dim() > 2 else scores[None]
        return self._blocks(matrices), self._blocks(torch.ones_like(matrices))

    def _blocks(
        self, matrices: Float[Tensor, "positions out in"]
    ) -> Float[Tensor, "positions rows columns"]:
        down, across = -matrices.shape[1] % self.rows, -matrices.shape[2] % self.columns
        padded = torch.nn.functional.pad(matrices, (0, across, 0, down))
        wide = padded.unflatten(2, (-1, self.columns))
        tiles: Tensor = wide.unflatten(1, (-1, self.rows))
        return tiles.sum((2, 4))

    def _spread(self, blocks: Tensor, like: Scores) -> Tensor:
        """A value of each block at each of its weights."""
        wide = blocks.repeat_interleave(self.rows, 1).repeat_interleave(self.columns, 2)
        matrices = wide[:, : like.shape[0], : like.shape[1]]
        return matrices.permute(1, 2, 0).reshape(like.shape)


def largest(scores: Float[Tensor, "..."], number: int) -> Bool[Tensor, "..."]:
    """True for exactly so many of the highest scores; of equal ones the first."""
    if number <= 0:
        return torch.zeros_like(scores, dtype=torch.bool)
    if number >= scores.numel():
        return torch.ones_like(scores, dtype=torch.bool)
    limit = limit_of(lambda: [scores], number)
    flat = scores.flatten()
    keep = flat > limit
    ties = (flat == limit).nonzero()[:, 0]
    keep[ties[: number - int(keep.sum())]] = True
    return keep.view(scores.shape)
