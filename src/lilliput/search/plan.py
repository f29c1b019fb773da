"""How long training may take: what one epoch costs here, and what the time budget leaves for it."""

import time
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from lilliput.core import Model, Pass, Task, run
from lilliput.core.data import length_of

__all__ = ["Clock", "epoch_seconds"]


@dataclass
class Clock:
    """Counts a run's time, over restarts.

    Args:
        limit_s: The time budget.
        spent_s: What earlier starts of the same run have used.
    """

    limit_s: int | float
    spent_s: int | float = 0

    def __post_init__(self) -> None:
        if not self.limit_s > 0:
            raise ValueError(f"the time budget must be more than 0 seconds, got {self.limit_s}")
        self._start = time.monotonic()

    def used_s(self) -> float:
        """Seconds used so far, by all starts."""
        return self.spent_s + time.monotonic() - self._start

    def left_s(self) -> float:
        """Seconds left; negative once the budget is overspent."""
        return self.limit_s - self.used_s()


def epoch_seconds(model: Model, task: Task, training: Pass, steps: int = 6) -> float:
    """Estimates one epoch of `training` from some of its steps, in seconds.

    The steps are trained on once uncounted, which imports and compiles what training needs, then
    one of them and then all of them: what the two differ by are steps. Loading comes on top.

    Args:
        model: What would be trained; it is not changed.
        task: The task of `training`.
        training: A training pass of one epoch over `task`.
        steps: How many batches to try.
    """
    start = time.perf_counter()
    few = list(islice(iter(task.train), steps))
    loading_s = (time.perf_counter() - start) / len(few)
    length = length_of(task.train) or sum(1 for _ in task.train)

    def seconds(batches: list[Any]) -> float:
        start = time.perf_counter()
        run(model, [replace(training, task=replace(task, train=batches))])  # type: ignore[type-var]
        return time.perf_counter() - start

    few = few * 2 if len(few) == 1 else few
    seconds(few[:1])
    one, all_ = seconds(few[:1]), seconds(few)
    # a first step in a process is slow, and noise may hide the others: then all counts
    per_step = (all_ - one) / (len(few) - 1) if all_ > one else all_ / len(few)
    return (loading_s + per_step) * length
