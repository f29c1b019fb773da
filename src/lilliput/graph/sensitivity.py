"""How much worse a model gets when one part of it at a time is perturbed."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lilliput.core import Model
from lilliput.core.progress import track

__all__ = ["Sensitivity", "sensitivity"]


@dataclass(frozen=True)
class Sensitivity:
    """Drops of a score.

    Args:
        score: Of the model as it is.
        drops: By name and level, how much the score falls; negative where it rises.
    """

    score: float
    drops: Mapping[str, Mapping[float, float]]

    def as_dict(self) -> dict[str, Any]:
        """The same as JSON can hold it, with levels as text."""
        drops = {name: {str(k): v for k, v in by.items()} for name, by in self.drops.items()}
        return {"score": self.score, "drops": drops}


def sensitivity(
    model: Model,
    names: Sequence[str],
    perturb: Callable[[Model, str, float], Model],
    score: Callable[[Model], float],
    levels: Sequence[float] | Mapping[str, Sequence[float]],
) -> Sensitivity:
    """Perturbs each part alone, at each level, and scores what is left.

    Args:
        model: It is not changed.
        names: Parts to perturb, e.g. channel groups.
        perturb: Gives the model with one part perturbed at a level, from a copy.
        score: Higher is better.
        levels: How strongly, e.g. shares of channels removed; for all alike, or for each name.

    Raises:
        ValueError: The score of the model as it is, is not finite.

    Source: Li et al. 2017, "Pruning Filters for Efficient ConvNets", section 3.2.
    """
    whole = score(model.clone())
    if not math.isfinite(whole):
        raise ValueError(f"the score of the unperturbed model must be finite, got {whole}")
    drops: dict[str, dict[float, float]] = {name: {} for name in names}
    by_name = levels if isinstance(levels, Mapping) else dict.fromkeys(names, levels)
    trials = [(name, level) for name in names for level in by_name[name]]
    for name, level in track(trials, "sensitivity"):
        drops[name][level] = whole - score(perturb(model.clone(), name, level))
    return Sensitivity(whole, drops)
