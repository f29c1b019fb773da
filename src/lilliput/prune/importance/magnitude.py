"""How large the weights are that would go with a unit."""

from collections.abc import Sequence
from dataclasses import dataclass

from lilliput.core import Model
from lilliput.graph import ChannelGroup
from lilliput.graph.masks import effective_weights
from lilliput.prune.importance.filters import own_filters
from lilliput.prune.importance.scores import Scores, mean_1, summed

__all__ = ["FilterNorm", "Magnitude"]


@dataclass(frozen=True)
class Magnitude:
    """The norm of all weights that would go with the unit, those that read it included.

    Biases and norms do not count: where a BatchNorm follows, a weight's own scale says little, and
    that of its readers says more.

    Source: Li et al. 2017, "Pruning Filters for Efficient ConvNets", section 3.1, for one layer;
    Fang et al. 2023, "DepGraph", section 3.3, for all layers of a group.

    Args:
        p: 1 or 2, the norm's order.
    """

    p: float = 2.0

    def __call__(self, model: Model, groups: Sequence[ChannelGroup], /) -> Scores:
        weights = ((n, w) for n, w in effective_weights(model.module).items() if w.dim() > 1)
        sums = summed(groups, weights, lambda w: w.abs() ** self.p)
        return {name: mean_1(total ** (1 / self.p)) for name, total in sums.items()}


@dataclass(frozen=True)
class FilterNorm:
    """The norm of the filters of one layer, that which the group is named after.

    Source: Li et al. 2017, "Pruning Filters for Efficient ConvNets", section 3.1, where p is 1.

    Args:
        p: 1 or 2, the norm's order.
    """

    p: float = 2.0

    def __call__(self, model: Model, groups: Sequence[ChannelGroup], /) -> Scores:
        return {g.name: mean_1(own_filters(model, g).norm(self.p, dim=1)) for g in groups}
