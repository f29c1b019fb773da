from dataclasses import replace
from itertools import product

import pytest
import torch
from torch import nn

from lilliput.core import Model, Pass, PassError, Task, run
from lilliput.core.accuracy import Accuracy
from lilliput.quantize import LearnRounding, Precision, QuantizeStatic, quantizers
from lilliput.targets import get_target
from lilliput.testing import TINY_TASKS, PassContract

RULES = get_target("onnxruntime-cpu").rules
FOUR = Precision({"*": 4})


class TestLearnRounding(PassContract):
    @pytest.fixture
    def model(self, tiny: str) -> Model:
        model, task = TINY_TASKS[tiny]()
        return replace(run(model, [QuantizeStatic(RULES, task, samples=64)]), history=())

    @pytest.fixture
    def pass_(self, task: Task) -> Pass:
        return LearnRounding(task, samples=64, steps=20)


def toy(layer: nn.Module, x: torch.Tensor) -> tuple[Model, Task]:
    task = Task("toy", [(x, x)], [(x, x)], lambda y, _: y.square().mean(), Accuracy())
    return Model(nn.Sequential(layer).eval(), (x,)), task


def correlated(count: int, width: int) -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randn(count, width) @ torch.randn(width, width)


def test_needs_quantizers() -> None:
    model, task = TINY_TASKS["image_classifier"]()
    with pytest.raises(PassError, match="QuantizeStatic comes before"):
        run(model, [LearnRounding(task)])


@pytest.mark.parametrize("value", [0, -3])
@pytest.mark.parametrize("name", ["samples", "steps"])
def test_refuses_counts_that_are_nothing(name: str, value: int) -> None:
    _, task = TINY_TASKS["image_classifier"]()
    with pytest.raises(ValueError, match=f"{name} must be 1 or more, got {value}"):
        LearnRounding(task, **{name: value})


@pytest.mark.parametrize("name", ["learning_rate", "strength", "damping"])
def test_refuses_settings_that_learn_nothing(name: str) -> None:
    _, task = TINY_TASKS["image_classifier"]()
    with pytest.raises(ValueError, match=f"{name} must be more than 0, got 0.0"):
        LearnRounding(task, **{name: 0.0})


def test_weights_lie_on_the_quantizers_grid() -> None:
    model, task = TINY_TASKS["image_classifier"]()
    passes = [QuantizeStatic(RULES, task, precision=FOUR), LearnRounding(task, steps=50)]
    learned = run(model, passes)
    for name, quantizer in quantizers(learned.module).items():
        if name.endswith(".weight_quantizer"):
            weight = learned.module.get_parameter(name.removesuffix("_quantizer"))
            torch.testing.assert_close(quantizer(weight), weight, rtol=1e-5, atol=1e-7)
            assert quantizer.momentum is None


def test_is_near_the_best_of_all_roundings() -> None:
    """Six weights go up or down in 64 ways, few enough to try them all."""
    x = correlated(400, 6)
    layer = nn.Linear(6, 16)
    model, task = toy(layer, x)
    nearest = run(model, [QuantizeStatic(RULES, task, precision=FOUR)])
    learned = run(nearest, [LearnRounding(task, damping=1e-6)])
    name, quantizer = next(
        found for found in quantizers(learned.module).items() if "weight" in found[0]
    )
    weight = nearest.module.get_parameter(name.removesuffix("_quantizer")).detach()
    given = learned.module.get_parameter(name.removesuffix("_quantizer")).detach()
    found = ((x - x.mean(0)) @ (given - weight).T).square().mean(0)
    ways = torch.tensor(list(product((0.0, 1.0), repeat=6)))
    best = []
    for row, scale in enumerate(quantizer.scale):
        codes = ((weight[row] / scale).floor() + ways).clamp(-7, 7)
        outputs = (x - x.mean(0)) @ (codes * scale - weight[row]).T
        best.append(float(outputs.square().mean(0).min()))
    ratio = found / torch.tensor(best)
    assert float(ratio.median()) < 1.1
    assert float(ratio.mean()) < 1.5


def test_codes_move_by_one_at_most() -> None:
    x = correlated(200, 8)
    model, task = toy(nn.Linear(8, 8), x)
    nearest = run(model, [QuantizeStatic(RULES, task, precision=FOUR)])
    learned = run(nearest, [LearnRounding(task, steps=200)])
    for name, quantizer in quantizers(learned.module).items():
        if "weight" in name:
            weights = [
                m.module.get_parameter(name.removesuffix("_quantizer")) for m in (nearest, learned)
            ]
            before, after = ((w / quantizer.scale[:, None]).round() for w in weights)
            assert (before - after).abs().max() == 1


@pytest.mark.parametrize("value", [0.0, 0.3])
def test_weights_that_are_all_equal_stay_as_they_are(value: float) -> None:
    layer = nn.Conv2d(3, 4, 3, groups=1)
    nn.init.constant_(layer.weight, value)
    x = torch.rand(8, 3, 6, 6)
    model, task = toy(layer, x)
    learned = run(model, [QuantizeStatic(RULES, task, precision=FOUR), LearnRounding(task)])
    with torch.no_grad():
        torch.testing.assert_close(learned.module(x), layer(x), atol=0.05, rtol=0.05)


def test_channels_that_are_always_zero_do_no_harm() -> None:
    layer = nn.Conv2d(4, 4, 3, groups=4)
    x = torch.rand(8, 4, 6, 6)
    x[:, 1] = 0
    with torch.no_grad():
        layer.weight[2] = 0
    model, task = toy(layer, x)
    learned = run(model, [QuantizeStatic(RULES, task, precision=FOUR), LearnRounding(task)])
    with torch.no_grad():
        given = learned.module(x)
    assert given.isfinite().all()
    torch.testing.assert_close(given[:, 1:3], layer(x)[:, 1:3].detach(), atol=0.01, rtol=0.01)
