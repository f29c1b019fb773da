"""The user's metric of a file's own outputs, and how sure a difference of two files is."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor
from torch.utils._pytree import tree_leaves

from lilliput.core import LilliputError, MeasureError, Split, Task, TaskError
from lilliput.core.data import length_of
from lilliput.core.progress import track
from lilliput.measure import intervals
from lilliput.measure.examples import ExampleValues, as_number, take
from lilliput.measure.frames import Array

__all__ = ["Scores", "Tally", "difference", "evaluate", "interval_of"]

_MAX_GROUPS = 50
_KEPT_BYTES = 1 << 28

Predict = Callable[[tuple[Array, ...]], Any]
Answer = tuple[Any, Any, int]  # outputs, labels, how many examples
Vector = Float64[np.ndarray, " samples"]


@dataclass(frozen=True, eq=False)
class Scores:
    """A metric over a whole split, with what an interval needs.

    Args:
        value: The metric.
        samples: How many examples.
        examples: Digest of the inputs in their order; differences are of equal ones only.
        values: The metric of each example, where the whole is their mean.
        left_out: The metric without each group of examples, where it is not.
    """

    value: float
    samples: int
    examples: str
    values: Vector | None = None
    left_out: Vector | None = None

    def without_groups(self) -> Vector | None:
        """The metric without each group of examples in turn."""
        if self.values is None:
            return self.left_out
        groups = _groups(self.samples)
        sizes = np.bincount(groups)
        sums = np.bincount(groups, weights=self.values)
        if len(sizes) < 2:
            return None
        return np.asarray((self.values.sum() - sums) / (self.samples - sizes), np.float64)


def evaluate(task: Task, split: Split, predict: Predict, name: str) -> Scores:
    """Runs a split through a file and counts with the task's metric.

    Args:
        task: Its data and metric.
        split: Which data.
        predict: Maps arrays to outputs as the network's `forward` gives them.
        name: What progress calls the file.

    Raises:
        TaskError: The metric raises, or does not give a finite number.
        MeasureError: `predict` fails.
    """
    tally, digest = Tally(task), hashlib.sha256()
    length = length_of(getattr(task, split))
    batches = None if length is None else float(length)
    for inputs, labels in track(task.batches(split), f"scoring {name}", batches):
        arrays = _arrays(inputs)
        for array in arrays:
            digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        tally.add(predict(arrays), labels, len(arrays[0]))

    def again() -> Iterator[Answer]:
        for inputs, labels in task.batches(split):
            yield predict(_arrays(inputs)), labels, len(inputs[0])

    return tally.scores(digest.hexdigest(), again)


class Tally:
    """Counts batches as they come.

    Args:
        task: Has the metric.
        room: How many bytes of outputs and labels are kept for intervals.
    """

    def __init__(self, task: Task, room: int = _KEPT_BYTES) -> None:
        self.task, self.metric, self.each = task, task.fresh_metric(), ExampleValues(task)
        self.samples, self.room = 0, room
        self.kept: list[Answer] = []

    def add(self, outputs: Any, labels: Any, count: int) -> None:
        """Counts the outputs of a batch of `count` examples.

        Raises:
            TaskError: The metric raises.
        """
        try:
            self.metric.update(outputs, labels)
            self.each.add(outputs, labels, count)
        except LilliputError:
            raise
        except Exception as error:
            raise self._refusal("update(outputs, labels)", error) from error
        self.samples += count
        leaves = [leaf for leaf in tree_leaves((outputs, labels)) if isinstance(leaf, Tensor)]
        self.room -= sum(leaf.nbytes for leaf in leaves)
        if self.room >= 0:
            self.kept.append((outputs, labels, count))

    def scores(self, examples: str, again: Callable[[], Iterable[Answer]] | None = None) -> Scores:
        """The metric of all that was counted, with what an interval needs.

        Args:
            examples: Digest of the inputs.
            again: Gives all answers once more, where they were too much to keep; without it there
                is no interval then.

        Raises:
            TaskError: The metric raises, or does not give a finite number.
        """
        try:
            value = as_number(self.metric.compute())
        except LilliputError:
            raise
        except Exception as error:
            raise self._refusal("compute()", error) from error
        if not np.isfinite(value):
            raise TaskError(f"the metric of task {self.task.name!r} is {value}, which is no score")
        values, left_out = self.each.found(value), None
        # all that was counted: from memory, or computed anew where it was too much to keep
        answers = (lambda: self.kept) if self.room >= 0 else again
        if values is None and answers and self.each.is_undecided:
            values = _one_by_one(self.task, answers(), value)
        if values is None and answers:
            left_out = _without_groups(self.task, answers(), self.samples)
        return Scores(value, self.samples, examples, values, left_out)

    def _refusal(self, call: str, error: Exception) -> TaskError:
        name = type(self.metric).__name__
        return TaskError(
            f"the metric of task {self.task.name!r}: {name}.{call} raised "
            f"{type(error).__name__}: {error}"
        )


def _arrays(inputs: tuple[Tensor, ...]) -> tuple[Array, ...]:
    return tuple(x.detach().cpu().numpy() for x in inputs)


def _groups(samples: int) -> Int64[np.ndarray, " samples"]:
    """A group for each example: at most 50, of equal sizes, drawn so that no order matters."""
    return np.random.default_rng(0).permutation(samples) % min(_MAX_GROUPS, samples)


def _one_by_one(task: Task, answers: Iterable[Answer], whole: float) -> Vector | None:
    """Each example's own value by the metric itself; None where it is not their mean."""
    each = ExampleValues(task, formulas=())
    for outputs, labels, count in answers:
        if not each.add(outputs, labels, count):
            return None
    return each.found(whole)


def _without_groups(task: Task, answers: Iterable[Answer], samples: int) -> Vector | None:
    """The metric without each group; None where examples cannot be told apart."""
    groups = torch.from_numpy(_groups(samples))
    metrics = [task.fresh_metric() for _ in range(int(groups.max()) + 1)]
    start = 0
    for outputs, labels, count in answers:
        of_batch = groups[start : start + count]
        start += count
        for group, metric in enumerate(metrics):
            rest = (of_batch != group).nonzero().flatten()
            if not len(rest):
                continue
            try:
                part = take(outputs, rest, count), take(labels, rest, count)
            except ValueError:
                return None
            metric.update(*part)
    values = np.array([as_number(metric.compute()) for metric in metrics], np.float64)
    return values if len(values) > 1 and np.isfinite(values).all() else None


def interval_of(scores: Scores) -> intervals.Interval | None:
    """95 % interval of a metric."""
    if scores.values is not None:
        return intervals.mean(scores.values)
    if scores.left_out is not None:
        return intervals.jackknife(scores.value, scores.left_out)
    return None


def difference(
    scores: Scores, reference: Scores, higher_is_better: bool
) -> tuple[float, intervals.Interval | None]:
    """How much worse than the reference, with a paired 95 % interval.

    Raises:
        MeasureError: The two were not scored on the same examples.
    """
    if scores.examples != reference.examples:
        raise MeasureError(
            "the data came in another order, or were other data, when the reference was scored: a "
            "drop is of the same examples; do not shuffle or augment validation and test data"
        )
    # the one whose larger numbers are better news comes first
    good, bad = (reference, scores) if higher_is_better else (scores, reference)
    drop = good.value - bad.value
    if good.values is not None and bad.values is not None:
        return drop, intervals.paired(good.values, bad.values)
    ours, theirs = good.without_groups(), bad.without_groups()
    if ours is None or theirs is None:
        return drop, None
    return drop, intervals.jackknife(drop, ours - theirs)
