"""Lottery tickets: a sparse network's masks on the weights it once began with, and at random."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from lilliput.core import Model, PassError, Stage
from lilliput.core.model import check_model
from lilliput.core.spelling import did_you_mean
from lilliput.graph.masks import Mask, mask_of

__all__ = ["Rewind", "ShuffleMasks"]

_UNDER_A_MASK = "parametrizations.weight.original"


@dataclass(frozen=True)
class Rewind:
    """Sets every parameter, and the statistics of norms, back to another model's; masks stay.

    Source: Frankle and Carbin 2019, "The Lottery Ticket Hypothesis", section 1, to the beginning;
    Frankle et al. 2020, "Linear Mode Connectivity and the Lottery Ticket Hypothesis", section 4,
    to early in training.

    Args:
        to: The same network as it was then, masked or not.
    """

    stage: ClassVar[Stage] = "sparsify"

    to: Model

    def __post_init__(self) -> None:
        check_model(self.to, "to")

    @torch.no_grad()
    def __call__(self, model: Model, /) -> Model:
        """Gives the ticket.

        Raises:
            PassError: The other model lacks a parameter, or has it in another shape.
        """
        before = _tensors(self.to.module)
        for name, value in _tensors(model.module).items():
            if name not in before:
                hint = did_you_mean(name, before)
                raise PassError(f"the model to rewind to has no {name!r}; {hint}")
            if before[name].shape != value.shape:
                raise PassError(
                    f"{name!r} is {list(value.shape)}, but {list(before[name].shape)} in the model "
                    "to rewind to; rewind to the same network"
                )
            value.copy_(before[name])
        return model


@dataclass(frozen=True)
class ShuffleMasks:
    """Gives each mask's zeros other places at random, as many as before: a ticket to compare with.

    Source: Frankle and Carbin 2019, "The Lottery Ticket Hypothesis", appendix E.

    Args:
        seed: Of the places.
    """

    stage: ClassVar[Stage] = "sparsify"

    seed: int = 0

    def __call__(self, model: Model, /) -> Model:
        """Gives the network with other masks.

        Raises:
            PassError: There are no masks.
        """
        masks = dict.fromkeys(mask_of(layer) for layer in model.module.modules())
        if not any(mask is not None for mask in masks):
            raise PassError("there are no masks to shuffle; put PruneWeights(...) before")
        draw = torch.Generator().manual_seed(self.seed)
        for mask in masks:
            if mask is not None:
                order = torch.randperm(mask.mask.numel(), generator=draw)
                shuffled = mask.mask.flatten()[order.to(mask.mask.device)]
                mask.mask.copy_(shuffled.view_as(mask.mask))
        return model


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and statistics by all the names they have without masks.

    A mask that layers share is there under the name of each of them.
    """
    every = module.named_modules(remove_duplicate=False)
    masks = tuple(f"{name}." for name, part in every if isinstance(part, Mask))
    return {
        _without_a_mask(name): value
        for name, value in module.state_dict(keep_vars=True).items()
        if not name.startswith(masks)
    }


def _without_a_mask(name: str) -> str:
    layer, found, rest = name.rpartition(_UNDER_A_MASK)
    return f"{layer}weight" if found and not rest else name
