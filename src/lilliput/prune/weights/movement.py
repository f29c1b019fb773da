"""Masks that are learned: weights that training moves towards zero go, and those that grow stay."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from lilliput.core import Model, PassError, Stage
from lilliput.core.settings import check_names
from lilliput.graph.masks import Mask, mask_of, original_of
from lilliput.prune.weights.allotment import Allotment, PerLayer
from lilliput.prune.weights.gradual import GradualPruning
from lilliput.prune.weights.mask import prunable, put

__all__ = ["FixMasks", "MovementPruning", "ScoreMovement", "ScoredMask"]


class ScoredMask(Mask):
    """A mask with scores that training learns as if each multiplied its weight.

    The gradient of a score is that of the masked weight times the weight, under the mask, too; so
    scores rise where weights move away from zero.

    Source: Sanh et al. 2020, "Movement Pruning", section 3, eq. 1 to 3: the straight-through
    estimator.
    """

    def __init__(self, mask: Bool[Tensor, "..."], like: Float[Tensor, "..."]) -> None:
        super().__init__(mask)
        self.scores = nn.Parameter(torch.zeros_like(like))

    def forward(self, weight: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        masked = weight * self.mask
        if not self.training:
            return masked
        # a zero, whose gradient is the weight
        return masked + weight.detach() * (self.scores - self.scores.detach())


@dataclass(frozen=True)
class ScoreMovement:
    """Puts masks on that zero nothing yet and have scores, for `MovementPruning` to choose by.

    It goes before the training, since an optimizer learns only what there is when it begins.
    `FixMasks` goes after it.

    Args:
        skip: Names of layers to leave dense, or of modules with layers inside.
    """

    stage: ClassVar[Stage] = "sparsify"

    skip: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_names("skip", self.skip)
        object.__setattr__(self, "skip", tuple(self.skip))

    def __call__(self, model: Model, /) -> Model:
        """Gives the network with masks; those that it had go on.

        Raises:
            PassError: There is nothing to prune, or nothing of a name in `skip`.
        """
        layers = prunable(model.module, self.skip)
        if not layers:
            raise PassError("there is nothing to prune: no linear layer or convolution")
        known = {name: mask_of(layer) for name, layer in layers.items()}
        for name, layer in layers.items():
            weight, mask = original_of(layer), known[name]
            if mask is not None:
                _replace(model.module, mask, ScoredMask(mask.mask, weight.detach()))
            else:
                ones = torch.ones_like(weight, dtype=torch.bool)
                put(model.module, name, ScoredMask(ones, weight.detach()))
        return model


@dataclass(frozen=True)
class FixMasks:
    """Makes masks that learned plain ones: their scores, as many as there are weights, go."""

    stage: ClassVar[Stage] = "sparsify"

    def __call__(self, model: Model, /) -> Model:
        masks = [mask_of(layer) for layer in model.module.modules()]
        for mask in dict.fromkeys(masks):
            if isinstance(mask, ScoredMask):
                _replace(model.module, mask, Mask(mask.mask))
        return model


@dataclass(frozen=True)
class MovementPruning(GradualPruning):
    """A hook: keeps the weights of the highest scores, fewer and fewer while the network trains.

    It chooses by the scores that `ScoreMovement` puts there, which learn at the learning rate of
    the training. For networks that were trained on something else before.

    Source: Sanh et al. 2020, "Movement Pruning", sections 3 and 4.

    Args:
        sparsity: At the end, at least 0 and below 1; None for the pattern's own, or 0.5.
        start: Share of the training at which sparsity begins to grow.
        end: Share of the training from which on it stays.
        every: Steps between two choices.
        pattern: Which weights may go together, at the end.
        allotment: How many go where.

    Raises:
        ValueError: A setting is out of range, or the pattern fixes another sparsity.
    """

    needs: ClassVar[str] = "ScoreMovement()"

    every: int = 10
    allotment: Allotment = field(default_factory=PerLayer)

    def _layers(self, module: nn.Module) -> dict[str, nn.Module]:
        layers = super()._layers(module)
        return {name: layer for name, layer in layers.items() if _scores_of(layer) is not None}

    def _scores(self, layers: Mapping[str, nn.Module]) -> Mapping[str, Tensor]:
        found = {name: _scores_of(layer) for name, layer in layers.items()}
        return {name: scores for name, scores in found.items() if scores is not None}


def _scores_of(layer: nn.Module) -> Float[Tensor, "..."] | None:
    """What its mask learned, if it learns."""
    mask = mask_of(layer)
    return mask.scores.detach() if isinstance(mask, ScoredMask) else None


def _replace(module: nn.Module, old: Mask, new: Mask) -> None:
    """Puts a mask in another's place, on every layer that has it."""
    for layer in module.modules():
        if mask_of(layer) is old:
            chains: nn.ModuleDict = layer.parametrizations  # type: ignore[assignment]
            chains["weight"]._modules["0"] = new  # noqa: SLF001
