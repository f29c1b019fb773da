"""What every importance gives: a number for each unit of each group."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from lilliput.core import Model
from lilliput.graph import ChannelGroup
from lilliput.prune.places import line_of, per_unit, places_of

__all__ = ["Importance", "Lines", "Scores", "axes_of", "mean_1", "summed"]

Scores = dict[str, Float[Tensor, " units"]]
"""For each group, by name, one number for each unit; of mean 1, so that groups compare."""


Lines = dict[tuple[str, int], Float[Tensor, " length"]]
"""For a tensor and an axis of it, one number for each slice."""


@runtime_checkable
class Importance(Protocol):
    """Anything that scores the units of channel groups."""

    def __call__(self, model: Model, groups: Sequence[ChannelGroup], /) -> Scores: ...


def summed(
    groups: Sequence[ChannelGroup],
    values: Iterable[tuple[str, Tensor]],
    of: Callable[[Tensor], Tensor],
) -> dict[str, Float[Tensor, " units"]]:
    """Sums, for each unit of each group, a function of all numbers on its slices.

    Args:
        groups: Whose units.
        values: The tensors that count, by name; one is looked at after the other.
        of: What is summed, elementwise.
    """
    axes = axes_of(groups)
    lines: Lines = {}
    for name, value in values:
        if name in axes:
            numbers = of(value.detach())
            lines |= {(name, axis): line_of(numbers, axis) for axis in axes[name]}
    return {group.name: per_unit(group.size, places_of(group), lines) for group in groups}


def axes_of(groups: Sequence[ChannelGroup]) -> dict[str, set[int]]:
    """The axes of each tensor that units of any group lie on."""
    axes: dict[str, set[int]] = defaultdict(set)
    for group in groups:
        for tensor, axis in group.axes:
            axes[tensor].add(axis)
    return dict(axes)


def mean_1(scores: Float[Tensor, " units"]) -> Float[Tensor, " units"]:
    """The same ranks with a mean of 1; units of which nothing is known are all alike."""
    mean = scores.mean()
    return scores / mean if float(mean) > 0 else torch.ones_like(scores)
