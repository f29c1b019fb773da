"""How long training may take: what one epoch costs here, and what the time budget leaves for it."""

import time
from collections.abc import Sized
from dataclasses import dataclass, replace
from itertools import islice

from lilliput.core import Model, Pass, Task, run

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
        self._start = time.monotonic()

    def used_s(self) -> float:
        """Seconds used so far, by all starts."""
        return self.spent_s + time.monotonic() - self._start

    def left_s(self) -> float:
        """Seconds left; negative once the budget is overspent."""
        return self.limit_s - self.used_s()


def epoch_seconds(model: Model, task: Task, training: Pass, steps: int = 6) -> float:
    """Estimates one epoch of `training` from its first steps, in seconds.

    Args:
        model: What would be trained; it is not changed.
        task: The task of `training`.
        training: A training pass of one epoch over `task`.
        steps: How many batches to try; half of them warm up.
    """
    loader = task.train
    length = len(loader) if isinstance(loader, Sized) else sum(1 for _ in loader)
    few = list(islice(iter(loader), min(steps, length)))
    half = max(1, len(few) // 2)
    seconds = []
    for batches in (few[:half], few):
        start = time.perf_counter()
        run(model, [replace(training, task=replace(task, train=batches))])  # type: ignore[type-var]
        seconds.append(time.perf_counter() - start)
    per_step = max(seconds[1] - seconds[0], 0.0) / max(len(few) - half, 1)
    if per_step == 0.0:
        per_step = seconds[1] / len(few)
    return per_step * length
