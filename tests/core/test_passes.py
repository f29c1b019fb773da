import copy
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from torch import nn
from torch.utils._pytree import tree_leaves

from lilliput.core import LilliputError, Model, PassError, Stage, TraceError, check_order, run
from lilliput.core.passes import settings
from lilliput.testing import TINY_TASKS


@dataclass(frozen=True)
class Scale:
    """Multiplies every parameter, in place."""

    factor: float = 2.0
    stage: ClassVar[Stage] = "edit"

    def __call__(self, model: Model, /) -> Model:
        with torch.no_grad():
            for parameter in model.module.parameters():
                parameter.mul_(self.factor)
        return model


def fails(model: Model) -> Model:
    raise KeyError("no such layer")


def widens(model: Model) -> Model:
    return Model(nn.Sequential(model.module, nn.Linear(3, 5)), model.example_inputs)


def forgets(model: Model) -> Any:
    model.module.train()


def staged(name: str, stage: str) -> Any:
    return type(name, (), {"stage": stage, "__call__": lambda _, model: model})()


@pytest.fixture
def model() -> Model:
    torch.manual_seed(0)
    return Model(nn.Sequential(nn.Linear(4, 3)), (torch.randn(2, 4),))


@pytest.mark.parametrize("tiny", TINY_TASKS)
def test_copies_checks_and_records_on_every_task(tiny: str) -> None:
    model, _ = TINY_TASKS[tiny]()
    before = copy.deepcopy(model.module.state_dict())
    result = run(model, [Scale(0.5), Scale(1.5)])
    assert all(
        torch.equal(value, before[name]) for name, value in model.module.state_dict().items()
    )
    assert [(step.name, step.stage) for step in result.history] == [("Scale", "edit")] * 2
    assert [step.settings for step in result.history] == [{"factor": 0.5}, {"factor": 1.5}]
    assert all(step.seconds >= 0 for step in result.history)
    assert not result.module.training
    for name, parameter in result.module.named_parameters():
        torch.testing.assert_close(parameter, 0.75 * before[name])


@pytest.mark.parametrize("tiny", TINY_TASKS)
def test_names_the_output_that_became_nan(tiny: str) -> None:
    model, _ = TINY_TASKS[tiny]()
    with pytest.raises(PassError, match=r"Scale failed after Scale: its output 0 holds NaN"):
        run(model, [Scale(1.0), Scale(torch.nan)])


def test_names_the_pass_that_raises_and_those_before(model: Model) -> None:
    with pytest.raises(PassError, match=r"^fails failed as the first pass: 'no such layer'"):
        run(model, [fails])
    with pytest.raises(PassError, match=r"^fails failed after Scale, Scale: ") as caught:
        run(model, [Scale(), Scale(), fails])
    assert isinstance(caught.value.__cause__, KeyError)


def test_names_the_shapes_that_changed(model: Model) -> None:
    with pytest.raises(PassError, match=r"widens .*\[\(2, 5\)\].*before gave \[\(2, 3\)\]"):
        run(model, [widens])


def test_names_a_pass_that_returns_no_model(model: Model) -> None:
    with pytest.raises(PassError, match=r"forgets .*must return a Model, got NoneType"):
        run(model, [forgets])


def test_an_error_of_another_kind_keeps_its_kind_and_names_the_pass(model: Model) -> None:
    def cannot_trace(model: Model) -> Model:
        raise TraceError("at line 3")

    where = r"^cannot_trace failed after Scale: at line 3$"
    with pytest.raises(TraceError, match=where) as caught:
        run(model, [Scale(), cannot_trace])
    assert str(caught.value.__cause__) == "at line 3"


def test_a_pass_sees_no_dropout_and_leaves_no_statistics(model: Model) -> None:
    seen: list[bool] = []

    def looks(model: Model) -> Model:
        seen.extend(part.training for part in model.module.modules())
        model.module(*model.example_inputs)
        return model

    net = nn.Sequential(model.module, nn.BatchNorm1d(3), nn.Dropout()).train()
    result = run(Model(net, model.example_inputs), [looks, looks])
    assert seen == [False] * 2 * len(list(net.modules()))
    assert result.module[1].num_batches_tracked == 0
    assert all(part.training for part in net.modules())


def test_blames_no_pass_for_a_network_that_is_broken_already(model: Model) -> None:
    with pytest.raises(PassError, match=r"before any pass, on its own .* shapes \[\(2, 5\)\]"):
        run(Model(model.module, (torch.randn(2, 5),)), [Scale()])
    nn.init.constant_(model.module[0].weight, torch.nan)
    with pytest.raises(PassError, match="before any pass, the network's output 0 holds NaN"):
        run(model, [Scale()])


def test_gives_back_the_model_when_there_is_nothing_to_do(model: Model) -> None:
    assert run(model, []) is model


def test_a_plain_function_is_a_pass(model: Model) -> None:
    def keep(model: Model) -> Model:
        return model

    step = run(model, [keep]).history[0]
    assert (step.name, step.settings, step.stage) == ("keep", {}, "")


@pytest.mark.parametrize(
    ("stages", "clash"),
    [
        (("quantize", "edit"), "B cannot come after A: edited layers"),
        (("quantize", "prune"), "B cannot come after A: removed channels"),
        (
            ("quantize", "quantize"),
            "B cannot come after A: the network's weights are integers",
        ),
        (("quantize", "train", "prune"), "C cannot come after A: removed channels"),
        (("quantize", "", "edit"), "C cannot come after A"),
    ],
)
def test_refuses_an_order_that_cannot_work(stages: tuple[str, ...], clash: str) -> None:
    passes = [staged(name, stage) for name, stage in zip("ABC", stages, strict=False)]
    with pytest.raises(PassError, match=clash):
        check_order(passes)


def test_refuses_before_any_work_is_done(model: Model) -> None:
    quantized = run(model, [staged("Quantize", "quantize")])
    with pytest.raises(PassError, match="Scale cannot come after Quantize"):
        run(quantized, [fails, Scale()])


@given(st.lists(st.sampled_from(["edit", "prune", "train", ""]), max_size=6))
def test_allows_any_order_before_quantizers_and_training_after(stages: list[str]) -> None:
    check_order([staged("P", stage) for stage in [*stages, "quantize", "train", "train", ""]])


@dataclass(frozen=True)
class Option:
    samples: int = 3


@dataclass(frozen=True)
class Everything:
    value: Any
    folder: Path = field(default=Path("x"), metadata={"setting": False})


@pytest.mark.parametrize("tiny", TINY_TASKS)
def test_settings_name_models_and_tasks(tiny: str) -> None:
    model, task = TINY_TASKS[tiny]()
    assert settings(Everything(task)) == {"value": task.name}
    assert settings(Everything(model)) == {"value": type(model.module).__name__}
    assert settings(Everything(run(model, [Scale(1.0)]))) == {"value": ["Scale"]}


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Option(), {"name": "Option", "samples": 3}),
        ({"a": (1, 2)}, {"a": [1, 2]}),
        ({1: Option()}, {"1": {"name": "Option", "samples": 3}}),
        (frozenset({"b", "a"}), ["a", "b"]),
        (np.int64(3), 3),
        (np.float32(0.5), 0.5),
        (nn.functional.relu, "relu"),
        (torch.zeros(2), "Tensor"),
        (None, None),
    ],
)
def test_settings_are_what_json_holds(value: Any, plain: Any) -> None:
    assert json.loads(json.dumps(settings(Everything(value)))) == {"value": plain}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(JSON)
def test_settings_keep_plain_values(value: Any) -> None:
    assert json.loads(json.dumps(settings(Everything(value)))) == {"value": value}


def test_a_nan_that_the_network_masks_is_no_failure() -> None:
    class Masked(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.where(x > 0, x, -torch.inf)

    result = run(Model(Masked(), (torch.tensor([[1.0, -1.0]]),)), [Scale()])
    assert not any(leaf.isnan().any() for leaf in tree_leaves(result.module(torch.ones(1, 2))))


def test_every_error_of_a_pass_is_a_lilliput_error(model: Model) -> None:
    broken: list[Callable[[Model], Any]] = [fails, widens, forgets, Scale(torch.nan)]
    for pass_ in broken:
        with pytest.raises(LilliputError):
            run(model, [pass_])
