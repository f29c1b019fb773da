"""Each example's value against the metric itself, asked about that example alone."""

from collections import namedtuple
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from torch import Tensor, nn

from lilliput.core import Accuracy, Task, TaskError
from lilliput.measure.examples import ExampleValues, as_number, take
from lilliput.testing import TINY_TASKS

Batch = tuple[Any, Any, int]


class MeanOf:
    """The mean over examples of `error(outputs, labels)`, which gives one number for each."""

    higher_is_better = False

    def __init__(self, error: Any) -> None:
        self.error = error
        self.reset()

    def reset(self) -> None:
        self.sum, self.count, self.updates = 0.0, 0, 0

    def update(self, outputs: Any, labels: Any) -> None:
        errors = self.error(outputs, labels).double()
        self.sum, self.count = self.sum + float(errors.sum()), self.count + len(errors)

    def compute(self) -> float:
        return self.sum / self.count


class RootMeanSquare(MeanOf):
    """No mean over examples."""

    def __init__(self) -> None:
        super().__init__(lambda y, t: (y - t).square().mean(1))

    def compute(self) -> float:
        return super().compute() ** 0.5


def task_of(metric: Any) -> Task:
    return Task("t", [], [], nn.functional.mse_loss, metric)


def one_by_one(metric: Any, batches: list[Batch]) -> np.ndarray:
    """Brute force: a new count for every single example."""
    values = []
    for outputs, labels, count in batches:
        for index in range(count):
            metric.reset()
            here = slice(index, index + 1)
            several = isinstance(outputs, tuple)
            y = tuple(part[here] for part in outputs) if several else outputs[here]
            t = tuple(part[here] for part in labels) if several else labels[here]
            metric.update(y, t)
            values.append(float(metric.compute()))
    return np.array(values)


def whole(metric: Any, batches: list[Batch]) -> float:
    metric.reset()
    for outputs, labels, _ in batches:
        metric.update(outputs, labels)
    return float(metric.compute())


def found(metric: Any, batches: list[Batch]) -> Any:
    each = ExampleValues(task_of(metric))
    for batch in batches:
        each.add(*batch)
    return each.found(whole(metric, batches))


def regression(counts: list[int], seed: int = 0) -> list[Batch]:
    draw = torch.Generator().manual_seed(seed)
    return [(*torch.randn(2, n, 3, generator=draw), n) for n in counts]


def classes(counts: list[int], seed: int = 0, levels: int = 3) -> list[Batch]:
    """Scores of few levels, so that many are equal."""
    draw = torch.Generator().manual_seed(seed)
    return [
        (
            torch.randint(levels, (n, 7), generator=draw).float(),
            torch.randint(7, (n,), generator=draw),
            n,
        )
        for n in counts
    ]


ERRORS = {
    "absolute": lambda y, t: (y - t).abs().mean(1),
    "squared": lambda y, t: (y - t).square().mean(1),
    "largest": lambda y, t: (y - t).abs().amax(1),
    "cubed": lambda y, t: (y - t).pow(3).sum(1),
}


@pytest.mark.parametrize("error", ERRORS)
@given(counts=st.lists(st.integers(1, 6), min_size=1, max_size=4), seed=st.integers(0, 99))
def test_each_value_is_the_metric_of_that_example(error: str, counts: list[int], seed: int) -> None:
    metric, batches = MeanOf(ERRORS[error]), regression(counts, seed)
    np.testing.assert_allclose(found(metric, batches), one_by_one(metric, batches), atol=1e-6)


@given(st.lists(st.integers(1, 6), min_size=1, max_size=4), st.integers(0, 99), st.integers(1, 4))
def test_accuracy_of_scores_that_tie(counts: list[int], seed: int, levels: int) -> None:
    batches = classes(counts, seed, levels)
    np.testing.assert_array_equal(found(Accuracy(), batches), one_by_one(Accuracy(), batches))


@pytest.mark.parametrize("threshold", [0.0, 0.5])
def test_shares_above_a_threshold(threshold: float) -> None:
    def is_right(y: Tensor, t: Tensor) -> Tensor:
        return ((y > threshold) == (t > 0.5)).flatten()

    draw = torch.Generator().manual_seed(0)
    batches = [
        (torch.randn(n, 1, generator=draw), torch.randint(2, (n, 1), generator=draw).float(), n)
        for n in (40, 3)
    ]
    metric = MeanOf(is_right)
    np.testing.assert_array_equal(found(metric, batches), one_by_one(metric, batches))


@pytest.mark.parametrize("name", TINY_TASKS)
def test_values_of_the_tiny_tasks_where_their_mean_is_the_metric(name: str) -> None:
    model, task = TINY_TASKS[name]()
    with torch.no_grad():
        batches = [
            (model.module(*inputs), labels, len(inputs[0]))
            for inputs, labels in task.batches("validation")
        ]
    metric = task.fresh_metric()
    wanted = one_by_one(metric, batches)
    if name == "image_to_image":  # decibels of all pixels together
        assert wanted.mean() != pytest.approx(whole(metric, batches))
        assert found(metric, batches) is None
    else:
        np.testing.assert_allclose(found(metric, batches), wanted, rtol=1e-5, atol=1e-6)


def test_a_metric_that_is_no_mean_has_no_values() -> None:
    assert found(RootMeanSquare(), regression([5, 5])) is None


def test_single_examples_are_not_asked_where_a_formula_fits() -> None:
    class Counting(Accuracy):
        updates = 0

        def update(self, outputs: Any, labels: Any) -> None:
            Counting.updates += 1
            super().update(outputs, labels)

    each = ExampleValues(task_of(Counting()))
    assert all(each.add(*batch) for batch in classes([50, 50]))
    assert Counting.updates == 2
    assert not each.is_undecided


def test_formulas_that_fail_after_a_batch_leave_it_undecided() -> None:
    metric = MeanOf(ERRORS["largest"])
    even = (torch.ones(4, 3), torch.zeros(4, 3), 4)  # the mean is the largest
    batches = [even, *regression([6])]
    each = ExampleValues(task_of(metric))
    assert [each.add(*batch) for batch in batches] == [True, False]
    assert each.is_undecided
    again = ExampleValues(task_of(metric), formulas=())
    assert all(again.add(*batch) for batch in batches)
    values = again.found(whole(metric, batches))
    np.testing.assert_allclose(values, one_by_one(metric, batches), rtol=1e-6)


def test_what_single_examples_refuted_is_decided() -> None:
    each = ExampleValues(task_of(RootMeanSquare()))
    assert not each.add(*regression([6])[0])
    assert not each.is_undecided


Pair = namedtuple("Pair", ["a", "b"])  # noqa: PYI024
ROWS = torch.arange(6).view(3, 2)


@pytest.mark.parametrize(
    ("value", "taken"),
    [
        (ROWS, [[0, 1], [4, 5]]),
        ({"boxes": (ROWS, ROWS)}, {"boxes": ([[0, 1], [4, 5]], [[0, 1], [4, 5]])}),
        (Pair(ROWS, ROWS), Pair([[0, 1], [4, 5]], [[0, 1], [4, 5]])),
        ([ROWS], [[[0, 1], [4, 5]]]),
        (["one", "two", "three"], ["one", "three"]),
    ],
)
def test_examples_are_taken_from_whatever_holds_them(value: Any, taken: Any) -> None:
    got = take(value, torch.tensor([0, 2]), 3)
    plain = torch.utils._pytree.tree_map(
        lambda leaf: leaf.tolist() if isinstance(leaf, Tensor) else leaf, got
    )
    assert plain == taken
    assert type(got) is type(value)


def test_what_has_not_one_item_for_each_example_is_refused() -> None:
    with pytest.raises(ValueError, match="a Tensor has not one item for each of 4 examples"):
        take(ROWS, torch.tensor([0]), 4)


def test_what_is_no_number_is_named() -> None:
    assert as_number(torch.tensor([0.5])) == 0.5
    with pytest.raises(TaskError, match=r"must give one number, got \{'f1': 0.5\}"):
        as_number({"f1": 0.5})
