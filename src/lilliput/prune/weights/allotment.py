"""How many weights each layer keeps, so that the network as a whole reaches a sparsity."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lilliput.core import Model, Task
from lilliput.core.modes import in_eval_mode
from lilliput.graph import sensitivity
from lilliput.prune.allot import allot
from lilliput.prune.weights.limit import limit_of
from lilliput.prune.weights.mask import oriented, set_mask
from lilliput.prune.weights.patterns import Pattern

__all__ = [
    "AcrossLayers",
    "Allotment",
    "BySensitivity",
    "ErdosRenyiKernel",
    "PerLayer",
    "WeightScores",
]

WeightScores = Mapping[str, Float[Tensor, "..."]]
"""For each layer, a number for each weight, outputs first; higher ones stay longer."""


@runtime_checkable
class Allotment(Protocol):
    """Anything that shares out how many weights stay; at least one in each layer."""

    def __call__(
        self, module: nn.Module, scores: WeightScores, sparsity: float, pattern: Pattern, /
    ) -> dict[str, int]: ...


@dataclass(frozen=True)
class PerLayer:
    """The same share in every layer."""

    def __call__(
        self,
        _module: nn.Module,
        scores: WeightScores,
        sparsity: float,
        _pattern: Pattern,
        /,
    ) -> dict[str, int]:
        return {
            name: max(1, round((1 - sparsity) * score.numel())) for name, score in scores.items()
        }


@dataclass(frozen=True)
class AcrossLayers:
    """One threshold for all layers: where weights are small, more go."""

    def __call__(
        self,
        _module: nn.Module,
        scores: WeightScores,
        sparsity: float,
        pattern: Pattern,
        /,
    ) -> dict[str, int]:
        left = _number(scores, sparsity)
        limit = limit_of(lambda: map(pattern.pooled, scores.values()), left)
        kept = {n: int((pattern.pooled(score) > limit).sum()) for n, score in scores.items()}
        left -= sum(kept.values())
        for name, score in scores.items():  # of equal ones the first
            equal = min(left, int((pattern.pooled(score) == limit).sum()))
            kept[name], left = kept[name] + equal, left - equal
        return {name: max(1, number) for name, number in kept.items()}


@dataclass(frozen=True)
class ErdosRenyiKernel:
    """Layers with few weights for each channel keep more of them.

    The density of a layer is proportional to the sum of the lengths of its weight's axes over
    their product; where that is above 1 the layer stays dense, and the others make up for it.

    Source: Evci et al. 2020, "Rigging the Lottery", section 3 (1).
    """

    def __call__(
        self,
        _module: nn.Module,
        scores: WeightScores,
        sparsity: float,
        _pattern: Pattern,
        /,
    ) -> dict[str, int]:
        wishes = {name: float(sum(score.shape)) for name, score in scores.items()}
        return _shared_out(wishes, scores, _number(scores, sparsity))


@dataclass(frozen=True)
class BySensitivity:
    """Layers whose pruning alone costs little give more, as measured each time anew.

    Source: Han et al. 2015, "Learning both Weights and Connections", section 3.3, with thresholds
    found greedily.

    Args:
        task: Its validation split and metric say what is lost.
        levels: Shares of a layer's weights to try without.
    """

    task: Task
    levels: tuple[float, ...] = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95)

    def __post_init__(self) -> None:
        object.__setattr__(self, "levels", tuple(self.levels))
        for level in self.levels:
            if not 0 < level < 1:
                raise ValueError(f"levels must be between 0 and 1, got {level}")
        if not self.levels:
            raise ValueError("levels must hold at least one share between 0 and 1, got none")

    def __call__(
        self,
        module: nn.Module,
        scores: WeightScores,
        sparsity: float,
        pattern: Pattern,
        /,
    ) -> dict[str, int]:
        def perturb(trial: Model, name: str, level: float) -> Model:
            number = round((1 - level) * scores[name].numel())
            layer = trial.module.get_submodule(name)
            keep = pattern.keep(scores[name], max(1, number))
            set_mask(trial.module, name, oriented(layer, keep))
            return trial

        model = Model(module, self.task.first("validation", 1)[0][0])
        found = sensitivity(model, list(scores), perturb, self._score, self.levels)
        sizes = {name: score.numel() for name, score in scores.items()}

        def left(shares: Mapping[str, float]) -> float:
            return sum(size * (1 - shares.get(name, 0.0)) for name, size in sizes.items())

        shares = allot(found.drops, left, 1 - sparsity, max(self.levels))
        wishes = {name: size * (1 - shares.get(name, 0.0)) for name, size in sizes.items()}
        return _shared_out(wishes, scores, _number(scores, sparsity))

    def _score(self, model: Model) -> float:
        metric = self.task.fresh_metric()
        with in_eval_mode(model.module), torch.no_grad():
            for inputs, labels in self.task.batches("validation"):
                metric.update(model.module(*inputs), labels)
        value = float(metric.compute())
        return value if self.task.higher_is_better else -value


def _number(scores: WeightScores, sparsity: float) -> int:
    """How many weights stay in all."""
    return max(1, round((1 - sparsity) * sum(score.numel() for score in scores.values())))


def _shared_out(wishes: Mapping[str, float], scores: WeightScores, total: int) -> dict[str, int]:
    """Numbers in proportion to the wishes that add up to the total; no layer has more than all."""
    sizes = {name: score.numel() for name, score in scores.items()}
    full: set[str] = set()
    while True:
        rest = total - sum(sizes[name] for name in full)
        wished = sum(wish for name, wish in wishes.items() if name not in full)
        each = max(0.0, rest / wished) if wished else 0.0
        over = {name for name in wishes if name not in full and each * wishes[name] > sizes[name]}
        if not over:
            break
        full |= over
    exact = {n: float(sizes[n]) if n in full else each * wishes[n] for n in wishes}
    numbers = {name: math.floor(value) for name, value in exact.items()}
    short = total - sum(numbers.values())
    for name in sorted(exact, key=lambda n: numbers[n] - exact[n])[:short]:
        numbers[name] += 1
    return {name: min(sizes[name], max(1, number)) for name, number in numbers.items()}
