import pytest
import torch
from torch.utils._pytree import tree_leaves

from lilliput.core import Model, Task
from lilliput.graph import trace
from lilliput.testing import TINY_TASKS, learned


@torch.no_grad()
def value(model: Model, task: Task) -> float:
    metric = task.fresh_metric()
    for inputs, labels in task.batches("test"):
        metric.update(model.module(*inputs), labels)
    return float(metric.compute())


@pytest.mark.parametrize("tiny", TINY_TASKS)
def test_can_be_learned_in_a_second(tiny: str) -> None:
    model, task = TINY_TASKS[tiny]()
    before, after = value(model, task), value(learned(model, task), task)
    enough = {
        "image_classifier": 0.9,
        "image_to_image": 16.0,
        "two_input_transformer": 0.9,
        "two_output_regressor": 0.35,
    }[tiny]
    if task.higher_is_better:
        assert after > max(enough, before)
    else:
        assert after < min(enough, before)


@pytest.mark.parametrize("tiny", TINY_TASKS)
def test_is_the_same_every_time(tiny: str) -> None:
    (one, data), (two, again) = TINY_TASKS[tiny](), TINY_TASKS[tiny]()
    assert data.identity() == again.identity()
    batches = zip(data.batches("train"), again.batches("train"), strict=True)
    for pair in batches:
        assert all(torch.equal(a, b) for a, b in zip(*map(tree_leaves, pair), strict=True))
    states = one.module.state_dict(), two.module.state_dict()
    assert all(torch.equal(x, states[1][name]) for name, x in states[0].items())


def test_no_two_tasks_are_alike() -> None:
    built = {name: make() for name, make in TINY_TASKS.items()}
    inputs = {name: len(model.example_inputs) for name, (model, _) in built.items()}
    outputs = {
        name: len(tree_leaves(model.module(*model.example_inputs)))
        for name, (model, _) in built.items()
    }
    assert inputs["two_input_transformer"] == 2
    assert outputs["two_output_regressor"] == 2
    assert not built["two_output_regressor"][1].higher_is_better
    dtypes = {x.dtype for model, _ in built.values() for x in model.example_inputs}
    assert dtypes == {torch.float32, torch.int64, torch.bool}


@pytest.mark.parametrize("tiny", TINY_TASKS)
def test_takes_any_number_of_examples_when_traced(tiny: str) -> None:
    assert trace(TINY_TASKS[tiny]()[0]).has_dynamic_batch
