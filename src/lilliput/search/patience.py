"""When the open-ended part of the search ends."""

from collections.abc import Callable

from lilliput.search.plan import Clock

__all__ = ["Patience"]

_STILL = 8
"""Trials without a better variant after which more are unlikely to bring one."""


class Patience:
    """Says whether to go on: until the time is spent, or the front has not moved for some trials.

    Args:
        front: Gives the ids on the fronts.
        made: Gives how many points were made.
        clock: Of the time budget.
        tell: Receives a line when the search ends.
        least_s: Time that the shortest training takes.
        trials: Most trials; None for no limit.
    """

    def __init__(  # noqa: PLR0913, PLR0917
        self,
        front: Callable[[], frozenset[str]],
        made: Callable[[], int],
        clock: Clock,
        tell: Callable[[str], None],
        least_s: float,
        trials: int | None,
    ) -> None:
        self._front, self._made, self.clock, self.tell = front, made, clock, tell
        self.least_s, self.trials = least_s, trials
        self.asked, self.still, self.last = 0, 0.0, (front(), made())

    def proceed(self) -> bool:
        """Asked before each trial."""
        self.asked += 1
        if self.trials is not None and self.asked > self.trials:
            return False
        if self.clock.left_s() < self.least_s:
            self.tell("the time that is left buys no epoch of training")
            return False
        front, made = self._front(), self._made()
        # what was left out says less than what was made and was no better
        self.still += 1 if made > self.last[1] else 1 / _STILL
        self.still = 0.0 if front != self.last[0] else self.still
        self.last = front, made
        if self.still > _STILL:
            self.tell(f"the front has not moved for {_STILL} trials")
        return self.still <= _STILL
