"""One option of each item within a limit: the multiple-choice knapsack, for all limits at once.

Source: Kellerer, Pferschy and Pisinger 2004, "Knapsack Problems", section 11.5: dynamic
programming over the states that no other beats.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64
from numpy.typing import NDArray

__all__ = ["Front", "front"]

_MOST_STATES = 1 << 17
"""Of more states than this, only the best in each small range of costs is kept."""

_SLACK = 1e-9
"""Sums of costs are right to this share of themselves."""


@dataclass(frozen=True, eq=False)
class Front:
    """The choices that no other beats in both cost and loss, from the cheapest on.

    Args:
        costs: Of each choice, rising.
        losses: Of each choice, falling.
        steps: For each item, the state before and the option, of each state after it.
    """

    costs: Float64[np.ndarray, " choices"]
    losses: Float64[np.ndarray, " choices"]
    steps: tuple[tuple[NDArray[np.int64], NDArray[np.int64]], ...]

    def within(self, limit: int | float) -> int | None:
        """The choice of least loss that costs no more; None where all cost more."""
        allowed = limit + _SLACK * abs(limit)
        found = int(np.searchsorted(self.costs, allowed, side="right")) - 1
        return found if found >= 0 else None

    def options(self, choice: int) -> tuple[int, ...]:
        """Which option of each item a choice takes."""
        chosen = []
        for before, option in reversed(self.steps):
            chosen.append(int(option[choice]))
            choice = int(before[choice])
        return tuple(reversed(chosen))


def front(costs: Sequence[Sequence[float]], losses: Sequence[Sequence[float]]) -> Front:
    """Solves for every limit; what the options of a choice lose is summed.

    It is exact up to 131,072 states. Beyond that, states whose costs differ by less than a
    131,072nd of the whole count as one, of which the one of least loss is kept.

    Args:
        costs: Of each item's options, 0 or more.
        losses: Likewise; NaN counts as infinite.
    """
    cost, loss = np.zeros(1), np.zeros(1)
    steps = []
    for item_costs, item_losses in zip(costs, losses, strict=True):
        options = len(item_costs)
        lost_each = np.nan_to_num(np.asarray(item_losses, np.float64), nan=np.inf)
        sums = (cost[:, None] + np.asarray(item_costs, np.float64)).ravel()
        lost = (loss[:, None] + lost_each).ravel()
        kept = _unbeaten(sums, lost)
        cost, loss = sums[kept], lost[kept]
        steps.append((kept // options, kept % options))
    return Front(cost, loss, tuple(steps))


def _unbeaten(
    cost: Float64[np.ndarray, " states"], loss: Float64[np.ndarray, " states"]
) -> Int64[np.ndarray, " kept"]:
    """The states that lose less than all that are as cheap."""
    order = np.lexsort((loss, cost))
    least = np.minimum.accumulate(loss[order])
    is_better = np.r_[True, loss[order][1:] < least[:-1]]
    kept = order[is_better]
    if len(kept) > _MOST_STATES:
        ranges = ((cost[kept] / cost[kept[-1]]) * _MOST_STATES).astype(np.int64)
        kept = kept[np.r_[ranges[1:] != ranges[:-1], True]]
    return kept
