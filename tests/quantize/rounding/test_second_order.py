from dataclasses import replace
from itertools import product

import pytest
import torch
from torch import nn
from torch.nn import functional

from lilliput.core import Model, Pass, PassError, Task, run
from lilliput.core.accuracy import Accuracy
from lilliput.quantize import (
    Precision,
    QuantizeAware,
    QuantizeStatic,
    RoundSecondOrder,
    quantizers,
)
from lilliput.targets import get_target
from lilliput.testing import TINY_TASKS, PassContract, learned

RULES = get_target("onnxruntime-cpu").rules


class TestRoundSecondOrder(PassContract):
    @pytest.fixture
    def model(self, tiny: str) -> Model:
        model, task = TINY_TASKS[tiny]()
        return replace(run(model, [QuantizeStatic(RULES, task, samples=64)]), history=())

    @pytest.fixture
    def pass_(self, task: Task) -> Pass:
        return RoundSecondOrder(task, samples=64)


def test_needs_quantizers() -> None:
    model, task = TINY_TASKS["image_classifier"]()
    with pytest.raises(PassError, match="QuantizeStatic comes before"):
        run(model, [RoundSecondOrder(task)])


def test_weights_lie_on_the_quantizers_grid() -> None:
    model, task = TINY_TASKS["image_classifier"]()
    three = Precision({"*": 3})
    rounded = run(
        model, [QuantizeStatic(RULES, task, precision=three), RoundSecondOrder(task, samples=64)]
    )
    for name, quantizer in quantizers(rounded.module).items():
        if name.endswith(".weight_quantizer"):
            weight = rounded.module.get_parameter(name.removesuffix("_quantizer"))
            torch.testing.assert_close(quantizer(weight), weight, rtol=1e-5, atol=1e-7)


def test_is_near_the_best_of_all_codes() -> None:
    """Two-bit codes of a filter of five weights are few enough to try them all."""
    torch.manual_seed(0)
    x = torch.randn(400, 5) @ torch.randn(5, 5)
    task = Task("toy", [(x, x)], [(x, x)], lambda y, _: y.square().mean(), Accuracy())
    layer = nn.Linear(5, 8)
    model = Model(nn.Sequential(layer).eval(), (x,))
    two = Precision({"*": 2})
    nearest = run(model, [QuantizeStatic(RULES, task, precision=two)])
    rounded = run(nearest, [RoundSecondOrder(task, samples=400, damping=1e-6)])
    quantizer = next(
        q for name, q in quantizers(rounded.module).items() if name.endswith("weight_quantizer")
    )
    wanted, centred = layer(x).detach(), x - x.mean(0)
    with torch.no_grad():
        found, plain = ((other.module(x) - wanted).square().mean(0) for other in (rounded, nearest))
    codes = torch.tensor(list(product((-1.0, 0.0, 1.0), repeat=5)))
    ratios = []
    for row, scale in enumerate(quantizer.scale):
        target = wanted[:, row] - wanted[:, row].mean()
        best = (centred @ (codes * scale).T - target[:, None]).square().mean(0).min()
        ratios.append(float(found[row] / best))
    assert found.mean() < 0.7 * plain.mean()
    assert sorted(ratios)[len(ratios) // 2] < 1.05
    assert sum(ratios) / len(ratios) < 1.5


def test_three_bits_stay_nearer_to_the_float_network() -> None:
    model, task = TINY_TASKS["image_classifier"]()
    model = learned(model, task, epochs=2)
    nearest = run(model, [QuantizeStatic(RULES, task, precision=Precision({"*": 3}))])
    rounded = run(nearest, [RoundSecondOrder(task)])
    inputs, _ = next(task.batches("test"))
    with torch.no_grad():
        wanted = model.module.eval()(*inputs).log_softmax(-1)
        divergences = [
            float(
                functional.kl_div(
                    other.module(*inputs).log_softmax(-1),
                    wanted,
                    log_target=True,
                    reduction="batchmean",
                )
            )
            for other in (rounded, nearest)
        ]
    assert divergences[0] < 0.5 * divergences[1]


class Twice(nn.Module):
    """One layer that runs two times, and one that runs once."""

    def __init__(self) -> None:
        super().__init__()
        self.again, self.once = nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.once(self.again(self.again(x).relu()).relu())


def test_a_layer_that_runs_twice_stays_as_it_was() -> None:
    x = torch.randn(64, 6)
    task = Task("toy", [(x, x)], [(x, x)], lambda y, _: y.square().mean(), Accuracy())
    model = Model(Twice().eval(), (x,))
    nearest = run(model, [QuantizeStatic(RULES, task, precision=Precision({"*": 3}))])
    rounded = run(nearest, [RoundSecondOrder(task, samples=64)])
    before, after = (dict(m.module.named_parameters()) for m in (nearest, rounded))
    assert torch.equal(before["again.weight"], after["again.weight"])
    assert torch.equal(before["again.bias"], after["again.bias"])
    assert not torch.equal(before["once.weight"], after["once.weight"])


def test_after_aware_quantization_the_grid_stays_the_rounded_one() -> None:
    model, task = TINY_TASKS["image_classifier"]()
    three = Precision({"*": 3})
    passes = [QuantizeAware(RULES, task, precision=three), RoundSecondOrder(task, samples=64)]
    rounded = run(model, passes)
    for name, quantizer in quantizers(rounded.module).items():
        if name.endswith(".weight_quantizer"):
            weight = rounded.module.get_parameter(name.removesuffix("_quantizer"))
            torch.testing.assert_close(quantizer(weight), weight, rtol=1e-5, atol=1e-7)
