"""How much the loss would change without a unit."""

from collections.abc import Sequence
from dataclasses import dataclass

from lilliput.core import Model, Task
from lilliput.graph import ChannelGroup
from lilliput.prune.importance.gradients import weighted_gradients
from lilliput.prune.importance.scores import Lines, Scores, axes_of, mean_1
from lilliput.prune.places import per_unit, places_of

__all__ = ["Taylor"]


@dataclass(frozen=True)
class Taylor:
    """How much the loss would change without the unit, to first order.

    That is the sum of |weight * gradient| over all its weights.
    Gradients are taken batch by batch with the network in eval mode. Parameters that are frozen
    count like others; those that the loss does not depend on count as 0.

    Source: Molchanov et al. 2019, "Importance Estimation for Neural Network Pruning", section 3.1,
    with the absolute value where they square.

    Args:
        task: Its training split and loss are used.
        samples: Examples to look at.
    """

    task: Task
    samples: int = 512

    def __call__(self, model: Model, groups: Sequence[ChannelGroup], /) -> Scores:
        change: Lines = {}
        batches = self.task.first("train", self.samples)
        for lines in weighted_gradients(model, self.task, batches, axes_of(groups), True):
            for key, line in lines.items():
                change[key] = change[key] + line if key in change else line
        return {g.name: mean_1(per_unit(g.size, places_of(g), change)) for g in groups}
