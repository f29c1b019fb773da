"""What every pass must satisfy. Subclass `PassContract` in a pass's test file, ours or yours."""

import copy
import dataclasses
import json
from typing import Any, ClassVar, get_args

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from lilliput.core import Model, Pass, Stage, Task, run
from lilliput.core.passes import settings
from lilliput.graph import trace
from lilliput.testing.nets import TINY_TASKS

__all__ = ["PassContract"]


class PassContract:
    """Subclasses give a `pass_` fixture, which may ask for `task` and `model`.

    Every test runs on each of the `tasks`, names in `TINY_TASKS`. A subclass may name fewer, or
    override the `model` fixture.
    """

    tasks: ClassVar[tuple[str, ...]] = tuple(TINY_TASKS)
    _runs: ClassVar[dict[str, tuple[Model, Model]]]

    def __init_subclass__(cls) -> None:
        cls._runs = {}

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "tiny" in metafunc.fixturenames:
            metafunc.parametrize("tiny", self.tasks)

    @pytest.fixture
    def pass_(self) -> Pass:
        raise NotImplementedError("a subclass of PassContract needs a `pass_` fixture")

    @pytest.fixture
    def task(self, tiny: str) -> Task:
        return TINY_TASKS[tiny]()[1]

    @pytest.fixture
    def model(self, tiny: str) -> Model:
        return TINY_TASKS[tiny]()[0]

    @pytest.fixture
    def done(self, request: pytest.FixtureRequest, pass_: Pass, model: Model) -> Model:
        """The model after the pass, run once for all tests of a task."""
        key = getattr(getattr(request.node, "callspec", None), "id", "")
        if key not in self._runs:
            self._runs[key] = (model, run(model, [pass_]))
        return self._runs[key][1]

    def test_is_a_frozen_value(self, pass_: Pass) -> None:
        assert dataclasses.is_dataclass(pass_)
        assert pass_.__dataclass_params__.frozen
        assert copy.copy(pass_) == pass_

    def test_has_settings_that_json_holds(self, pass_: Pass) -> None:
        assert json.loads(json.dumps(settings(pass_))) == settings(pass_)

    def test_says_where_in_a_recipe_it_belongs(self, pass_: Pass) -> None:
        assert getattr(pass_, "stage", "") in get_args(Stage)

    @pytest.mark.parametrize("is_training", [False, True])
    def test_leaves_its_input_alone(self, pass_: Pass, model: Model, is_training: bool) -> None:
        model.module.train(is_training)
        before = {name: value.clone() for name, value in model.module.state_dict().items()}
        run(model, [pass_])
        assert all(part.training == is_training for part in model.module.modules())
        after = model.module.state_dict()
        assert list(before) == list(after)
        assert all(torch.equal(value, after[name]) for name, value in before.items())
        assert model.history == ()

    def test_gives_the_same_for_the_same_input(
        self, done: Model, pass_: Pass, model: Model
    ) -> None:
        again = run(model, [pass_]).module.state_dict()
        once = done.module.state_dict()
        assert list(once) == list(again)
        assert all(torch.equal(value, again[name]) for name, value in once.items())

    def test_is_recorded(self, done: Model, pass_: Pass) -> None:
        step = done.history[-1]
        assert (step.name, step.settings) == (type(pass_).__name__, settings(pass_))

    def test_keeps_output_shapes_for_any_batch(self, done: Model, model: Model) -> None:
        for count in (1, 3):
            inputs = tuple(_repeated(x, count) for x in model.example_inputs)
            expected = [leaf.shape for leaf in _outputs(model, inputs)]
            assert [leaf.shape for leaf in _outputs(done, inputs)] == expected

    def test_still_trains(self, done: Model) -> None:
        trainable = done.clone().module.train()
        outputs = tree_leaves(trainable(*done.example_inputs))
        torch.stack([leaf.float().square().sum() for leaf in outputs]).sum().backward()
        assert any(p.grad is not None for p in trainable.parameters())

    def test_still_exports(self, done: Model) -> None:
        trace(done)


def _repeated(x: Tensor, count: int) -> Tensor:
    return x[torch.arange(count) % len(x)]


@torch.no_grad()
def _outputs(model: Model, inputs: tuple[Tensor, ...]) -> list[Any]:
    return tree_leaves(model.module.eval()(*inputs))
