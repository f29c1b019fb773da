"""What a comparison says: for each arm its score over seeds, what it costs, and who leads."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lilliput.core import Measurement

__all__ = ["Comparison", "LeftOut", "Row", "Run"]


@dataclass(frozen=True)
class Run:
    """One training of an arm, measured in its own runtime.

    Args:
        seed: Of its parameters, where these are drawn anew, and of its training.
        variant: Name of the variant.
        id: Its id in the registry.
        sha256: Of its file.
        metric: On validation data.
        test_metric: On test data; None where these were not read.
    """

    seed: int
    variant: str
    id: str
    sha256: str
    metric: float
    test_metric: float | None


@dataclass(frozen=True)
class Row:
    """One arm. Intervals are of the mean over seeds, 95 %; `samples` counts the seeds.

    Args:
        arm: Its name.
        epochs: Of training; None for the original, which is given.
        macs: Multiply-accumulates for one example.
        size: Bytes of the file, of the largest where seeds differ.
        metric: On validation data.
        test_metric: On test data; None where these were not read.
        latency_ratio: Time as a share of the original's, in the same interleaved run.
        lead: How much better the pruned arm is than this one, on test data where these were read;
            negative where this one is better. None for the pruned arm itself.
        runs: One for each seed that is finished.
        note: What else there is to know.
    """

    arm: str
    epochs: int | None
    macs: int
    size: Measurement
    metric: Measurement
    test_metric: Measurement | None = None
    latency_ratio: Measurement | None = None
    lead: Measurement | None = None
    runs: tuple[Run, ...] = ()
    note: str = ""

    @property
    def score(self) -> Measurement:
        """The metric that counts: on test data where these were read."""
        return self.test_metric or self.metric


@dataclass(frozen=True)
class LeftOut:
    """What could not be made.

    Args:
        arm: Of which arm.
        seed: Of which run; None for all of them.
        reason: In plain words.
    """

    arm: str
    seed: int | None
    reason: str


@dataclass(frozen=True)
class Comparison:
    """A pruned network against networks of its size that were trained small.

    Args:
        task: Name of the task.
        metric: Name of its metric.
        higher_is_better: Which way it gets better.
        target: Where all was measured.
        seeds: Of each arm.
        is_taught: Whether every arm imitates the original, besides learning from labels.
        recipe: The passes that prune, as TOML text.
        original: The network before.
        rows: One for each arm that has a run.
        left_out: What could not be made.
        was_stopped: Whether it ended before all runs were made.
    """

    task: str
    metric: str
    higher_is_better: bool
    target: str
    seeds: tuple[int, ...]
    is_taught: bool
    recipe: str
    original: Row
    rows: tuple[Row, ...]
    left_out: tuple[LeftOut, ...] = ()
    was_stopped: bool = False

    def __getitem__(self, arm: str) -> Row:
        """The row of an arm.

        Raises:
            KeyError: There is none, and why where it was left out.
        """
        rows = {row.arm: row for row in self.rows}
        if arm in rows:
            return rows[arm]
        known = f"there are {', '.join(map(repr, rows)) or 'none'}"
        reasons = [left.reason for left in self.left_out if left.arm == arm]
        if reasons:
            raise KeyError(f"arm {arm!r} was left out: {reasons[0]}; {known}")
        raise KeyError(f"no arm is called {arm!r}; {known}")

    def as_dict(self) -> Mapping[str, Any]:
        """The same as JSON can hold it."""
        return dataclasses.asdict(self)
