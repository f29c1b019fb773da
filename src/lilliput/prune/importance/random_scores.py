"""Chance: what every importance has to beat."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from lilliput.core import Model
from lilliput.graph import ChannelGroup
from lilliput.prune.importance.scores import Scores, mean_1

__all__ = ["Random"]


@dataclass(frozen=True)
class Random:
    """Numbers drawn evenly between 0 and 1.

    Args:
        seed: The same for the same numbers, given the same groups in the same order.
    """

    seed: int = 0

    def __call__(self, _model: Model, groups: Sequence[ChannelGroup], /) -> Scores:
        draw = torch.Generator().manual_seed(self.seed)
        return {g.name: mean_1(torch.rand(g.size, generator=draw)) for g in groups}
