"""Pictures made of two others: more than the data hold, for a teacher to tell what they are."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from lilliput.core import TaskError

__all__ = ["CutMix", "Mixing"]


@runtime_checkable
class Mixing(Protocol):
    """Makes other examples out of a batch's inputs, as many of the same shapes."""

    def __call__(self, inputs: tuple[Tensor, ...], /) -> tuple[Tensor, ...]: ...


@dataclass(frozen=True)
class CutMix:
    """Puts a rectangle of another picture of the batch into each.

    One rectangle a batch: its share of the area is uniform between 0 and 1, its sides are in the
    picture's ratio, and its middle is anywhere, so that some of it may fall outside.

    Source: Yun et al. 2019, "CutMix", section 3.1 and algorithm 1; that a teacher should label
    mixtures: Wang et al. 2022, "What Makes a Good Data Augmentation in Knowledge Distillation".

    Args:
        share: Of the batches that are mixed, above 0 and at most 1.

    Raises:
        ValueError: The share is out of range.
    """

    share: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ValueError(f"share must be above 0 and at most 1, got {self.share}")

    def __call__(self, inputs: tuple[Tensor, ...], /) -> tuple[Tensor, ...]:
        """Mixes the pictures, of shape (batch, channels, height, width).

        Raises:
            TaskError: There is another input than one batch of pictures.
        """
        if len(inputs) != 1 or inputs[0].ndim != 4:
            shapes = ", ".join(str(tuple(x.shape)) for x in inputs)
            raise TaskError(
                "CutMix mixes one input of shape (batch, channels, height, width), "
                f"got {shapes}; train without mixing"
            )
        draws = torch.rand(4).tolist()
        partners = torch.randperm(len(inputs[0])).to(inputs[0].device)
        if draws[0] >= self.share:
            return inputs
        return (_pasted(inputs[0], partners, *draws[1:]),)


def _pasted(
    pictures: Float[Tensor, "n c h w"], partners: Tensor, area: float, row: float, column: float
) -> Float[Tensor, "n c h w"]:
    """Each with a rectangle of its partner, around a middle given as shares of the sides."""
    side = area**0.5
    top, bottom = _span(pictures.shape[2], row, side)
    left, right = _span(pictures.shape[3], column, side)
    mixed = pictures.clone()
    mixed[:, :, top:bottom, left:right] = pictures[partners, :, top:bottom, left:right]
    return mixed


def _span(length: int, middle: float, share: float) -> tuple[int, int]:
    """From where to where a share of a length reaches around a middle, within the length."""
    half = length * share / 2
    return max(0, round(middle * length - half)), min(length, round(middle * length + half))
