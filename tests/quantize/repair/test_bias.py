from dataclasses import replace

import pytest
import torch
from tests.graph.structures import cbr, settle
from torch import nn

from lilliput.core import Accuracy, Model, Pass, PassError, Task, run
from lilliput.quantize import (
    CorrectBias,
    CorrectBiasFromStatistics,
    Precision,
    QuantizeStatic,
    RoundSecondOrder,
)
from lilliput.targets import get_target
from lilliput.testing import TINY_TASKS, PassContract, learned

RULES = get_target("onnxruntime-cpu").rules
THREE = Precision({"*": 3})


class TestCorrectBias(PassContract):
    @pytest.fixture
    def model(self, tiny: str) -> Model:
        model, task = TINY_TASKS[tiny]()
        return replace(run(model, [QuantizeStatic(RULES, task, samples=64)]), history=())

    @pytest.fixture
    def pass_(self, task: Task) -> Pass:
        return CorrectBias(task, samples=64)


class TestCorrectBiasFromStatistics(TestCorrectBias):
    @pytest.fixture
    def pass_(self) -> Pass:
        return CorrectBiasFromStatistics()


def normal_task(net: nn.Module, *shape: int) -> tuple[Model, Task]:
    """Examples drawn from a normal distribution, and the network with BatchNorm's statistics."""
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(512, *shape, generator=draw)
    task = Task(
        "normal", list(zip(x.split(64), x.split(64), strict=True)), [(x, x)], mean, Accuracy()
    )
    net.train()
    for part in net.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = None  # the mean over everything
            part.reset_running_stats()
    with torch.no_grad():
        net(x)
    return Model(net.eval(), (x[:2],)), task


def mean(outputs: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
    return outputs.mean()


def net() -> nn.Module:
    torch.manual_seed(0)
    blocks = [cbr(3, 8), cbr(8, 8, groups=8), cbr(8, 12, 1)]
    pool = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 4, bias=False)]
    return settle(nn.Sequential(*blocks, *pool))


def shift(model: Model, other: Model, task: Task) -> torch.Tensor:
    x = torch.cat([inputs[0] for inputs in task.calibration(512)])
    with torch.no_grad():
        return (model.module(x) - other.module(x)).mean(0).abs()


def test_output_means_are_those_of_the_float_network() -> None:
    model, task = normal_task(net(), 3, 8, 8)
    rounded = run(model, [QuantizeStatic(RULES, task, precision=THREE)])
    corrected = run(rounded, [CorrectBias(task, samples=512)])
    assert shift(model, rounded, task).max() > 0.01
    assert shift(model, corrected, task).max() < 1e-5


def test_statistics_alone_take_half_of_the_shift() -> None:
    model, task = normal_task(net(), 3, 8, 8)
    # inputs have mean zero, so that not knowing them does no harm
    rounded = run(model, [QuantizeStatic(RULES, task, precision=THREE)])
    corrected = run(rounded, [CorrectBiasFromStatistics()])
    assert shift(model, corrected, task).mean() < 0.6 * shift(model, rounded, task).mean()


def test_statistics_give_the_shift_of_one_layer_exactly() -> None:
    """The oracle is a million draws."""
    torch.manual_seed(0)
    layer = nn.Conv2d(6, 4, 1, bias=False)
    first = nn.Sequential(nn.Conv2d(3, 6, 1, bias=False), nn.BatchNorm2d(6), nn.ReLU6())
    nn.init.uniform_(first[1].weight, -3, 3)
    nn.init.uniform_(first[1].bias, -2, 6)
    model, task = normal_task(nn.Sequential(first, layer), 3, 4, 4)
    precision = Precision({"1": 2})
    rounded = run(model, [QuantizeStatic(RULES, task, precision=precision)])
    corrected = run(rounded, [CorrectBiasFromStatistics()]).module
    norm = model.module[0][1]
    draws = norm.bias[:, None] + norm.weight[:, None] * torch.randn(6, 1_000_000)
    expected = draws.clamp(0, 6).mean(1)
    quantizer = rounded.module.get_submodule("1.weight_quantizer")
    missing = layer.weight - quantizer(layer.weight)
    torch.testing.assert_close(
        corrected.get_parameter("1.bias"), missing[:, :, 0, 0] @ expected, rtol=0.01, atol=2e-3
    )


def test_comes_after_other_rounding_too() -> None:
    model, task = TINY_TASKS["image_classifier"]()
    model = learned(model, task, epochs=1)
    passes = [QuantizeStatic(RULES, task, precision=THREE), RoundSecondOrder(task, samples=64)]
    rounded = run(model, [*passes, CorrectBias(task)])
    assert shift(model, rounded, task).max() < 1e-4


def test_needs_quantizers() -> None:
    model, task = TINY_TASKS["image_classifier"]()
    with pytest.raises(PassError, match="QuantizeStatic comes before"):
        run(model, [CorrectBias(task)])


def test_nan_in_the_examples_is_named() -> None:
    model, task = normal_task(net(), 3, 8, 8)
    rounded = run(model, [QuantizeStatic(RULES, task)])
    x = torch.full((4, 3, 8, 8), float("nan"))
    with pytest.raises(PassError, match=r"'0\.0' gives NaN or infinite"):
        run(rounded, [CorrectBias(replace(task, train=[(x, x)]))])


def test_refuses_no_examples() -> None:
    with pytest.raises(ValueError, match="samples must be 1 or more, got -1"):
        CorrectBias(TINY_TASKS["image_classifier"]()[1], samples=-1)
