"""How much BatchNorm lets through."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from lilliput.core import Model, UnsupportedError
from lilliput.graph import ChannelGroup
from lilliput.prune.importance.scores import Scores, mean_1, summed

__all__ = ["BatchNormScale"]


@dataclass(frozen=True)
class BatchNormScale:
    """The size of the BatchNorm weights on the unit.

    Source: Liu et al. 2017, "Learning Efficient Convolutional Networks through Network Slimming",
    section 3.

    Raises:
        UnsupportedError: A group has no BatchNorm.
    """

    def __call__(self, model: Model, groups: Sequence[ChannelGroup], /) -> Scores:
        scales = {
            f"{name}.weight": layer.weight
            for name, layer in model.module.named_modules()
            if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d) and layer.affine
        }
        without = [g.name for g in groups if not any(tensor in scales for tensor, _ in g.axes)]
        if without:
            raise UnsupportedError(
                f"no BatchNorm lies on the channels of {', '.join(map(repr, without))}; "
                "rank with Magnitude() or Taylor(task), or list these groups in keep=(...)"
            )
        sums = summed(groups, scales.items(), torch.abs)
        return {name: mean_1(total) for name, total in sums.items()}
