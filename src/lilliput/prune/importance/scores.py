"""What every importance gives: a number for each unit of each group."""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from lilliput.core import Model
from lilliput.graph import ChannelGroup
from lilliput.prune.places import per_unit, places_of

__all__ = ["Importance", "Scores", "mean_1", "summed"]

Scores = dict[str, Float[Tensor, " units"]]
"""For each group, by name, one number for each unit; of mean 1, so that groups compare."""


@runtime_checkable
class Importance(Protocol):
    """Anything that scores the units of channel groups."""

    def __call__(self, model: Model, groups: Sequence[ChannelGroup], /) -> Scores: ...


def summed(group: ChannelGroup, values: Mapping[str, Tensor]) -> Float[Tensor, " units"]:
    """Sums, for each unit, all values on its slices."""
    return per_unit(group.size, places_of(group), values)


def mean_1(scores: Float[Tensor, " units"]) -> Float[Tensor, " units"]:
    """The same ranks with a mean of 1; units of which nothing is known are all alike."""
    mean = scores.mean()
    return scores / mean if float(mean) > 0 else torch.ones_like(scores)
