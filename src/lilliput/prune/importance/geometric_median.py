"""How far a unit's filters are from the others': what lies in their midst can be replaced."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from lilliput.core import Model
from lilliput.graph import ChannelGroup
from lilliput.prune.importance.filters import filters_of
from lilliput.prune.importance.scores import Scores, mean_1

__all__ = ["GeometricMedian"]


@dataclass(frozen=True)
class GeometricMedian:
    """The sum of distances to the filters of all other units of the group.

    A unit's filters in all layers that make the group's channels count as one long filter.

    Source: He et al. 2019, "Filter Pruning via Geometric Median for Deep Convolutional Neural
    Networks Acceleration", eq. 4 to 6.
    """

    def __call__(self, model: Model, groups: Sequence[ChannelGroup], /) -> Scores:
        scores: Scores = {}
        for group in groups:
            filters = torch.cat(list(filters_of(model, group).values()), 1)
            # without the shortcut by products, which loses digits where filters are close
            distances = torch.cdist(filters, filters, compute_mode="donot_use_mm_for_euclid_dist")
            scores[group.name] = mean_1(distances.sum(1))
        return scores
