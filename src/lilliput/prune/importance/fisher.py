"""How much the loss would change without a unit, to second order."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from lilliput.core import Model, Task
from lilliput.graph import ChannelGroup
from lilliput.prune.importance.filters import makes, owner_of
from lilliput.prune.importance.gradients import Batch, weighted_gradients
from lilliput.prune.importance.scores import Scores, axes_of, mean_1
from lilliput.prune.places import Place, per_unit, places_of

__all__ = ["Fisher"]


@dataclass(frozen=True)
class Fisher:
    """Half the mean over examples of the squared gradient of a factor on the unit's channels.

    The gradient of such a factor is the sum of activation * gradient where the channels are read.
    That equals the sum of weight * gradient over the weights that read them, so no activation need
    be kept. Where nothing but other activations reads them, as with the queries of attention, it is
    the sum over the weights and biases that make them.

    Source: Theis et al. 2018, "Faster gaze prediction with dense networks and Fisher pruning",
    eq. 8 and 9; for groups, Liu et al. 2021, "Group Fisher Pruning for Practical Network
    Compression", eq. 5 to 7, without their division by memory.

    Args:
        task: Its training split and loss are used.
        samples: Examples to look at; each takes a backward pass of its own.
    """

    task: Task
    samples: int = 128

    def __call__(self, model: Model, groups: Sequence[ChannelGroup], /) -> Scores:
        places = {group.name: _factor(model, group) for group in groups}
        scores = {group.name: torch.zeros(group.size) for group in groups}
        axes = axes_of(groups)
        for lines in weighted_gradients(model, self.task, self._examples(), axes, False):
            for group in groups:
                slope = per_unit(group.size, places[group.name], lines)
                scores[group.name] += slope.square() / 2
        return {name: mean_1(total) for name, total in scores.items()}

    def _examples(self) -> Iterator[Batch]:
        """Batches of one example."""
        left = self.samples
        for inputs, labels in self.task.first("train", self.samples):
            count = len(inputs[0])
            for k in range(min(count, left)):

                def alone(leaf: object, k: int = k, count: int = count) -> object:
                    is_batch = isinstance(leaf, Tensor) and leaf.dim() and len(leaf) == count
                    return leaf[k : k + 1] if is_batch else leaf  # type: ignore[index]

                yield tuple(x[k : k + 1] for x in inputs), tree_map(alone, labels)
            left -= count


def _factor(model: Model, group: ChannelGroup) -> tuple[Place, ...]:
    """Where a factor on the channels acts."""
    weights = {n for n, p in model.module.named_parameters(remove_duplicate=False) if p.dim() > 1}
    every = places_of(group)
    reading = tuple(
        place
        for place in every
        if place.tensor in weights
        and (not makes(model, group, place) or _is_depthwise(model, place))
    )
    return reading or every


def _is_depthwise(model: Model, place: Place) -> bool:
    """A depthwise filter makes a channel and reads the same."""
    layer = owner_of(model, place.tensor)
    return (
        isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d)
        and 1 < layer.groups == layer.in_channels
    )
