import dataclasses
import random
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from lilliput.core import Accuracy, Metric, Task, TaskError
from lilliput.testing import TINY_TASKS

X, Y = torch.randn(10, 4), torch.arange(10) % 3


def task(**changes: Any) -> Task:
    return Task(**{**BASE, **changes})


BASE: dict[str, Any] = {
    "name": "toy",
    "train": [(X[:6], Y[:6]), (X[6:], Y[6:])],
    "validation": [(X, Y)],
    "loss": cross_entropy,
    "metric": Accuracy(),
}


@pytest.mark.parametrize("tiny", TINY_TASKS)
def test_batches_call_forward_on_every_task(tiny: str) -> None:
    model, tiny_task = TINY_TASKS[tiny]()
    for split in ("train", "validation", "test"):
        for inputs, labels in tiny_task.batches(split):
            assert isinstance(inputs, tuple)
            assert tiny_task.loss(model.module(*inputs), labels).ndim == 0


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_an_empty_loader_is_named(split: str) -> None:
    with pytest.raises(TaskError, match=f"the {split} loader of task 'toy' yields no batch"):
        list(task(**{split: []}).batches(split))


def test_a_used_up_iterator_is_named() -> None:
    once = task(train=iter([(X, Y)]))
    list(once.batches("train"))
    with pytest.raises(TaskError, match="an iterator that was already used up"):
        list(once.batches("train"))


def test_a_missing_split_is_named() -> None:
    with pytest.raises(TaskError, match=r"task 'toy' has no test data; pass Task\(test=\.\.\.\)"):
        next(task().batches("test"))


def test_a_split_function_takes_other_batches_apart() -> None:
    batch = {"ids": X, "mask": Y, "labels": Y}
    split = task(train=[batch], split=lambda b: ((b["ids"], b["mask"]), b["labels"]))
    ((first, second), labels) = next(split.batches("train"))
    assert first is X
    assert second is labels is Y


@pytest.mark.parametrize("batch", [X, {"x": X}, (X, Y, Y), 3])
def test_a_batch_that_is_no_pair_is_named(batch: Any) -> None:
    with pytest.raises(TaskError, match=f"got {type(batch).__name__}.*split="):
        next(task(train=[batch]).batches("train"))


@given(st.integers(1, 30), st.integers(1, 7))
def test_calibration_gives_as_many_examples_as_asked_or_as_there_are(
    samples: int, size: int
) -> None:
    batches = [(x, y) for x, y in zip(X.split(size), Y.split(size), strict=True)]
    given_ = [x for (x,) in task(train=batches).calibration(samples)]
    torch.testing.assert_close(torch.cat(given_), X[:samples])


@pytest.mark.parametrize("tiny", TINY_TASKS)
def test_calibration_cuts_every_input_alike(tiny: str) -> None:
    model, tiny_task = TINY_TASKS[tiny]()
    batches = list(tiny_task.calibration(40))
    assert [len(inputs[0]) for inputs in batches] == [32, 8]
    for inputs in batches:
        assert len({len(x) for x in inputs}) == 1
        model.module(*inputs)


class Half:
    """Not torchmetrics', and without `reset`."""

    higher_is_better: bool | None = None

    def update(self, outputs: Any, labels: Any, /) -> None:
        self.seen = getattr(self, "seen", 0) + 1

    def compute(self) -> float:
        return 0.5


def test_a_fresh_metric_has_counted_nothing() -> None:
    counted = Accuracy()
    counted.update(torch.eye(3), torch.tensor([1, 0, 0]))
    fresh = task(metric=counted).fresh_metric()
    fresh.update(torch.eye(3), torch.arange(3))
    assert float(fresh.compute()) == 1
    assert float(counted.compute()) == 0


def test_a_metric_that_does_not_say_is_better_when_higher() -> None:
    assert isinstance(Half(), Metric)
    assert task(metric=Half()).higher_is_better
    assert not TINY_TASKS["two_output_regressor"]()[1].higher_is_better


@pytest.mark.slow
def test_torchmetrics_will_do() -> None:
    from torchmetrics import MeanSquaredError

    regression = task(metric=MeanSquaredError())
    assert not regression.higher_is_better
    metric = regression.fresh_metric()
    metric.update(torch.ones(3), torch.zeros(3))
    assert float(metric.compute()) == 1


def loader(x: Tensor = X, *, shuffle: bool = True) -> DataLoader[Any]:
    return DataLoader(TensorDataset(x, Y), batch_size=4, shuffle=shuffle)


def test_identity_is_the_same_for_shuffling_loaders() -> None:
    identities = {task(train=loader()).identity() for _ in range(5)}
    assert len(identities) == 1


class Augmented:
    """An iterable without items that draws from every global generator."""

    def __iter__(self) -> Iterator[Any]:
        for _ in range(3):
            yield X + torch.randn(()) + random.random() + np.random.rand(), Y  # noqa: NPY002


def test_identity_is_the_same_for_augmented_data_and_draws_no_numbers() -> None:
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    identities = {task(train=Augmented()).identity() for _ in range(2)}
    assert len(identities) == 1
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1] == random.getstate()
    assert np.array_equal(states[2], np.random.get_state()[1])  # noqa: NPY002


CHANGES = {
    "name": {"name": "other"},
    "first example": {"train": loader(torch.cat([X[:1] + 1, X[1:]]))},
    "last example": {"train": loader(torch.cat([X[:-1], X[-1:] + 1]))},
    "length": {"train": DataLoader(TensorDataset(X[[0, 9]], Y[[0, 9]]), batch_size=4)},
    "type": {"train": loader(X.double())},
    "validation": {"validation": [(X + 1, Y)]},
    "labels": {"validation": [(X, Y + 1)]},
    "test": {"test": [(X, Y)]},
}


@pytest.mark.parametrize("change", CHANGES)
def test_identity_changes_with(change: str) -> None:
    base = {"train": loader(), "validation": [(X, Y)]}
    assert task(**base).identity() != task(**{**base, **CHANGES[change]}).identity()


@pytest.mark.parametrize("tiny", TINY_TASKS)
def test_identity_is_known_for_every_task(tiny: str) -> None:
    tiny_task = TINY_TASKS[tiny]()[1]
    assert tiny_task.identity() == TINY_TASKS[tiny]()[1].identity()
    shorter = dataclasses.replace(tiny_task, train=list(tiny_task.train)[:-1])
    assert tiny_task.identity() != shorter.identity()


ODD_DATA = """
import torch
from lilliput.core import Accuracy, Task
data = [(torch.ones(2, 3), {"a": object(), "b": frozenset("x"), "c": "text"})]
identity = Task("t", data, data, max, Accuracy()).identity()
"""


def test_identity_is_the_same_in_another_process() -> None:
    here: dict[str, Any] = {}
    exec(ODD_DATA, here)  # noqa: S102
    code = f"{ODD_DATA}\nprint(identity, end='')"
    there = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert there == here["identity"]


class Opaque:
    """Prints its address, as most objects do."""


@pytest.mark.parametrize(
    "item", [X.bfloat16(), X > 0, X.numpy(), X.T, torch.tensor(3), 3, "text", None, Opaque()]
)
def test_identity_takes_any_data(item: Any) -> None:
    def same() -> Task:
        return task(train=[(item, Y), (Opaque(), Y)])

    assert same().identity() == same().identity()


def test_identity_reads_pictures() -> None:
    from PIL import Image

    def pictured(value: int) -> str:
        return task(train=[(Image.new("L", (4, 4), value), 0)]).identity()

    assert pictured(3) == pictured(3)
    assert pictured(3) != pictured(4)


def test_a_fingerprint_given_is_the_identity() -> None:
    assert task(fingerprint="v1", train=[]).identity() == "v1"


def test_calibration_is_the_same_whatever_was_drawn_before() -> None:
    data = TensorDataset(torch.arange(64.0)[:, None], torch.zeros(64))
    shuffled = task(train=DataLoader(data, batch_size=8, shuffle=True))
    torch.manual_seed(1)
    once = torch.cat([x for (x,) in shuffled.calibration(20)])
    torch.manual_seed(2)
    state = torch.get_rng_state()
    again = torch.cat([x for (x,) in shuffled.calibration(20)])
    assert torch.equal(once, again)
    assert len(once) == 20
    assert not torch.equal(once, torch.arange(20.0)[:, None])
    assert torch.equal(torch.get_rng_state(), state)
