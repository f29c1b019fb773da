"""Every way a task can be wrong is found on its first batch, with the value and the way out."""

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lilliput.core import Accuracy, Model, Task, TaskError, check_task
from lilliput.testing import TINY_TASKS

X, Y = torch.randn(8, 4), torch.arange(8) % 3


def wrong(**changes: Any) -> Task:
    fine = Task("wrong", [(X, Y)], [(X, Y)], cross_entropy, Accuracy())
    return dataclasses.replace(fine, **changes)


@pytest.fixture
def model() -> Model:
    torch.manual_seed(0)
    return Model(nn.Sequential(nn.Linear(4, 3)).eval(), (X[:1],))


@pytest.mark.parametrize("tiny", TINY_TASKS)
def test_a_good_task_passes_and_nothing_changes(tiny: str) -> None:
    model, task = TINY_TASKS[tiny]()
    model.module.train()
    before = {name: value.clone() for name, value in model.module.state_dict().items()}
    check_task(model, task)
    assert model.module.training
    assert all(torch.equal(before[name], x) for name, x in model.module.state_dict().items())


class Constant:
    higher_is_better = True

    def __init__(self, value: Any) -> None:
        self.value = value

    def update(self, outputs: Any, labels: Any, /) -> None: ...

    def compute(self) -> Any:
        if isinstance(self.value, Exception):
            raise self.value
        return self.value


def silent(outputs: Tensor, labels: Tensor) -> Tensor:
    return torch.zeros(())


def each(outputs: Tensor, labels: Tensor) -> Tensor:
    return cross_entropy(outputs, labels, reduction="none")


NAN = torch.full_like(X, torch.nan)
WRONG = {
    "train yields nothing": (wrong(train=[]), "train loader of task 'wrong' yields no batch"),
    "validation yields nothing": (wrong(validation=[]), "validation loader .* yields no batch"),
    "an iterator": (wrong(train=iter([(X, Y)])), "train data .*list_iterator.* only once"),
    "a batch without examples": (wrong(train=[(X[:0], Y[:0])]), "holds no examples"),
    "a batch that is no pair": (wrong(train=[(X, X, Y)]), "must be .inputs, labels.*split="),
    "inputs that are no tensors": (
        wrong(train=[(["a"], Y)]),
        "must be a tensor .* got list of str.*split=",
    ),
    "too many inputs": (wrong(train=[((X, X), Y)]), "has 2 inputs but example_inputs has 1"),
    "inputs of another width": (
        wrong(validation=[(X[:, :3], Y)]),
        r"input 0 of the first validation .* shape \[8, 3\], but its example input \[1, 4\]; .*"
        r"example input of shape \[1, 3\], or batches of shape \[batch, 4\]",
    ),
    "inputs of more axes": (wrong(train=[(X[:, None], Y)]), r"\[8, 1, 4\], .* shape \[1, 1, 4\]"),
    "an input without a batch": (wrong(train=[(X[0], Y)]), r"\[4\], .* of shape \[batch, 4\]"),
    "an input that is one number": (wrong(train=[(X[0, 0], Y)]), r"shape \[\], but .*\[1, 4\]"),
    "test yields nothing": (wrong(test=[]), "test loader of task 'wrong' yields no batch"),
    "test inputs of another width": (
        wrong(test=[(X[:, :3], Y)]),
        "input 0 of the first test batch",
    ),
    "test labels out of range": (wrong(test=[(X, Y + 7)]), "Accuracy raises on the first test"),
    "inputs of another type": (wrong(train=[(X.double(), Y)]), "float64.*float32"),
    "NaN inputs": (wrong(train=[(NAN, Y)]), "input 0 of the first train batch .* NaN"),
    "labels out of range": (wrong(train=[(X, Y + 7)]), "labels int64 .8. from 7 to 9.*out of"),
    "labels of another count": (wrong(train=[(X, Y[:5])]), r"labels int64 \[5\]"),
    "a loss for each example": (wrong(loss=each), r"one number, got float32 \[8\].*mean"),
    "a loss that is a float": (wrong(loss=lambda y, _: 1.0), "one number, got float on"),
    "a loss that is NaN": (wrong(loss=lambda y, _: y.sum() * torch.nan), "the loss is nan on"),
    "a loss without gradient": (wrong(loss=silent), "no gradient"),
    "a metric that raises": (wrong(metric=Constant(KeyError("k"))), "Constant raises.*KeyError"),
    "a metric of several numbers": (wrong(metric=Constant(torch.zeros(3))), r"got float32 \[3\]"),
    "a metric that is a dict": (
        wrong(metric=Constant({"f1": 0.5, "recall": 0.2})),
        r"Constant.compute\(\) must give one number, got a dict with 'f1', 'recall'; average it",
    ),
    "a metric that is a list": (wrong(metric=Constant([0.5])), "got a list of 1"),
    "a metric that is None": (wrong(metric=Constant(None)), "got NoneType"),
    "a metric that is NaN": (wrong(metric=Constant(torch.tensor(torch.nan))), "is nan on"),
}


@pytest.mark.parametrize("case", WRONG)
def test_names_what_is_wrong(case: str, model: Model) -> None:
    task, message = WRONG[case]
    with pytest.raises(TaskError, match=message):
        check_task(model, task)


def test_names_an_object_that_is_no_metric(model: Model) -> None:
    task = wrong()
    object.__setattr__(task, "metric", 3)
    with pytest.raises(TaskError, match=r"must have update.*got int"):
        check_task(model, task)


def test_a_class_in_place_of_a_metric_is_named_where_the_task_is_made() -> None:
    with pytest.raises(TaskError, match=r"'wrong' is the class Accuracy; pass .* Accuracy\(\)$"):
        wrong(metric=Accuracy)


def test_the_input_that_differs_is_named_among_several() -> None:
    class Two(nn.Module):
        def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
            return (X[:1, :3] * mask[:, :1]).requires_grad_()

    example = torch.zeros(1, 10), torch.ones(1, 10)
    inputs = torch.zeros(8, 10), torch.ones(8, 12)
    task = wrong(train=[(inputs, Y)])
    with pytest.raises(TaskError, match=r"^input 1 of .* shape \[8, 12\], .* input \[1, 10\]"):
        check_task(Model(Two(), example), task)
    fitting = [((inputs[0], inputs[1][:, :10]), Y)]
    check_task(Model(Two(), example), wrong(train=fitting, validation=fitting))


def test_an_example_without_a_batch_axis_is_told_what_it_lacks(model: Model) -> None:
    with pytest.raises(TaskError, match=r"example input \[4\]; .* input of shape \[1, 4\]"):
        check_task(Model(model.module, (X[0],)), wrong())


def test_no_loss_is_taken_of_test_data(model: Model) -> None:
    class Counted(Constant):
        def update(self, outputs: Any, labels: Any, /) -> None:
            seen.append(labels)

    seen: list[Any] = []
    check_task(model, wrong(test=[(X, "names")], metric=Counted(0.5)))
    assert seen[-1] == "names"


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_names_outputs_that_are_not_finite(model: Model, value: float) -> None:
    nn.init.constant_(model.module[0].bias, value)
    with pytest.raises(TaskError, match=r"output 0 .* 24 NaN or infinite values of 24"):
        check_task(model, wrong())
