"""What each single example contributes to a metric, where a metric is a mean over examples."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor
from torch.utils._pytree import tree_leaves

from lilliput.core import Task, TaskError

__all__ = ["ExampleValues", "as_number", "take"]

Formula = Callable[[Any, Any, int], Tensor | None]


def as_number(value: Any) -> float:
    """A metric's `compute()` as a number.

    Raises:
        TaskError: It is none.
    """
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError) as error:
        kind = f"{value!r:.100}"
        raise TaskError(f"the metric's compute() must give one number, got {kind}") from error


def take(value: Any, which: Tensor, count: int) -> Any:
    """The examples `which` of a batch of `count`, whatever outputs and labels are made of.

    Raises:
        ValueError: A part of it has not one item for each example.
    """
    if isinstance(value, Tensor | np.ndarray) and value.shape[:1] == (count,):
        return value[which]
    if isinstance(value, dict):
        return {key: take(item, which, count) for key, item in value.items()}
    if isinstance(value, tuple):
        items = [take(item, which, count) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    if isinstance(value, list):
        if any(isinstance(item, Tensor) and item.shape[:1] == (count,) for item in value):
            return [take(item, which, count) for item in value]
        if len(value) == count:
            return [value[index] for index in which.tolist()]
    raise ValueError(f"a {type(value).__name__} has not one item for each of {count} examples")


class ExampleValues:
    """Finds each example's own value of a metric, if the metric is their mean.

    Known formulas are tried first: one counts as this metric's if on every batch its mean is what
    the metric says of that batch. Where none is, the metric is asked about one example at a time.

    Args:
        task: Has the metric.
        formulas: What to try before that.
    """

    def __init__(self, task: Task, formulas: Sequence[Formula] | None = None) -> None:
        self._metric = task.fresh_metric()
        self._fresh = task.fresh_metric
        known = _FORMULAS if formulas is None else formulas
        self._ways: list[Formula] = [*known, self._one_by_one]
        self._values: list[list[Tensor]] = [[] for _ in self._ways]
        self._was_spared = False

    def add(self, outputs: Any, labels: Any, count: int) -> bool:
        """Takes in a batch; gives whether any way is left to tell the examples' values."""
        if not self._ways:
            return False
        wanted = self._value(outputs, labels)
        kept: list[tuple[Formula, list[Tensor]]] = []
        for way, before in zip(self._ways, self._values, strict=True):
            if way == self._one_by_one and kept:
                self._was_spared = True
                break  # it is slow, and a formula fits so far
            values = way(outputs, labels, count)
            if values is not None and _agrees(float(values.mean()), wanted):
                kept.append((way, [*before, values]))
        self._ways, self._values = [way for way, _ in kept], [values for _, values in kept]
        return bool(self._ways)

    @property
    def is_undecided(self) -> bool:
        """Whether the formulas failed only after a batch of which no single example was asked.

        Then all batches have to come again, to another of these without formulas.
        """
        return self._was_spared and not self._ways

    def found(self, whole: float) -> Float64[np.ndarray, " examples"] | None:
        """One value for each example; None where their mean is not the metric of the whole.

        Args:
            whole: The metric of all examples together.
        """
        for values in self._values:
            joined = torch.cat(values).double().numpy()
            if _agrees(float(joined.mean()), whole):
                return joined
        return None

    def _value(self, outputs: Any, labels: Any) -> float:
        if callable(getattr(self._metric, "reset", None)):
            self._metric.reset()
        else:
            self._metric = self._fresh()
        self._metric.update(outputs, labels)
        return as_number(self._metric.compute())

    def _one_by_one(self, outputs: Any, labels: Any, count: int) -> Tensor | None:
        values = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for index in torch.arange(count).split(1):
                try:
                    one = take(outputs, index, count), take(labels, index, count)
                    values.append(self._value(*one))
                except Exception:  # noqa: BLE001  a metric that cannot judge one example is no mean
                    return None
        return torch.tensor(values, dtype=torch.float64)


def _agrees(value: float, wanted: float) -> bool:
    """Equal but for rounding in 32-bit floats."""
    return abs(value - wanted) <= 1e-6 + 1e-5 * abs(wanted)


def _top(places: int) -> Formula:
    """Whether the label is among so many highest scores; of equal ones the first is the highest."""

    def formula(outputs: Any, labels: Any, count: int) -> Tensor | None:
        if not (isinstance(outputs, Tensor) and isinstance(labels, Tensor)):
            return None
        is_classes = outputs.dim() == 2 and labels.shape == (count,)
        if not is_classes or labels.is_floating_point() or outputs.shape[1] < places:
            return None
        # scores of integer files are often equal, and topk gives any of those
        highest = outputs.argmax(1, True) if places == 1 else outputs.topk(places, 1).indices
        return (highest == labels.unsqueeze(1)).any(1).double()

    return formula


def _above(threshold: float) -> Formula:
    def formula(outputs: Any, labels: Any, count: int) -> Tensor | None:
        if not (isinstance(outputs, Tensor) and isinstance(labels, Tensor)):
            return None
        if outputs.shape != labels.shape or outputs.numel() != count:
            return None
        return ((outputs > threshold) == (labels > 0.5)).reshape(-1).double()

    return formula


def _distance(power: int) -> Formula:
    def formula(outputs: Any, labels: Any, count: int) -> Tensor | None:
        pairs: Sequence[tuple[Any, Any]] = list(
            zip(tree_leaves(outputs), tree_leaves(labels), strict=False)
        )
        if len(tree_leaves(outputs)) != len(tree_leaves(labels)):
            return None
        for output, label in pairs:
            is_pair = isinstance(output, Tensor) and isinstance(label, Tensor)
            if not is_pair or output.shape != label.shape or output.shape[:1] != (count,):
                return None
        errors = [(y.double() - t.double()).reshape(count, -1).abs() ** power for y, t in pairs]
        return torch.cat(errors, 1).mean(1) if errors else None

    return formula


_FORMULAS: tuple[Formula, ...] = (
    _top(1),
    _top(5),
    _above(0.0),
    _above(0.5),
    _distance(1),
    _distance(2),
)
