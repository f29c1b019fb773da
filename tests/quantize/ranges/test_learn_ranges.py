from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from lilliput.core import Model, Pass, PassError, Task, run
from lilliput.quantize import LearnRanges, QuantizeStatic, RoundSecondOrder, quantizers
from lilliput.quantize.beside.as_float import as_float
from lilliput.targets import get_target
from lilliput.testing import TINY_TASKS, PassContract

RULES = get_target("onnxruntime-cpu").rules


class TestLearnRanges(PassContract):
    @pytest.fixture
    def model(self, tiny: str) -> Model:
        model, task = TINY_TASKS[tiny]()
        return replace(run(model, [QuantizeStatic(RULES, task, samples=64)]), history=())

    @pytest.fixture
    def pass_(self, task: Task) -> Pass:
        return LearnRanges(task, samples=32, steps=3, batch=8)


def test_needs_quantizers() -> None:
    model, task = TINY_TASKS["image_classifier"]()
    with pytest.raises(PassError, match="QuantizeStatic comes before"):
        run(model, [LearnRanges(task)])


def divergence(model: Model, original: Model, task: Task) -> float:
    """Mean KL of the softmax, as PyTorch has it."""
    inputs = torch.cat([x for (x,) in task.calibration(64)])
    with torch.no_grad():
        ours, theirs = (m.module.eval()(inputs).log_softmax(1) for m in (model, original))
    return float(functional.kl_div(ours, theirs, log_target=True, reduction="batchmean"))


def test_a_range_that_is_too_wide_is_drawn_in() -> None:
    model, task = TINY_TASKS["image_classifier"]()
    static = run(model, [QuantizeStatic(RULES, task, samples=64)])
    wide = next(
        q for n, q in quantizers(static.module).items() if not n.endswith("weight_quantizer")
    )
    wide.set_range(40 * wide.low, 40 * wide.high)
    learned = run(static, [LearnRanges(task, samples=64, steps=60, pace=0.05)])

    assert divergence(learned, model, task) < 0.5 * divergence(static, model, task)
    name = next(n for n in quantizers(static.module) if not n.endswith("weight_quantizer"))
    assert float(quantizers(learned.module)[name].scale) < 0.7 * float(wide.scale)


def test_weights_keep_their_codes_and_zero_points_stay() -> None:
    model, task = TINY_TASKS["image_classifier"]()
    static = run(model, [QuantizeStatic(RULES, task, samples=64)])
    learned = run(static, [LearnRanges(task, samples=32, steps=5)])
    after = quantizers(learned.module)
    for name, before in quantizers(static.module).items():
        assert torch.equal(before.zero_point, after[name].zero_point)
        if name.endswith("weight_quantizer"):
            weight = name.removesuffix("_quantizer")
            assert torch.equal(before.scale, after[name].scale)
            assert torch.equal(
                static.module.get_parameter(weight), learned.module.get_parameter(weight)
            )


def test_the_float_network_is_there_inside_and_gone_after() -> None:
    model, task = TINY_TASKS["image_classifier"]()
    rounded = run(model, [QuantizeStatic(RULES, task, samples=64), RoundSecondOrder(task, 64)])
    with torch.no_grad():
        before = rounded.module(*model.example_inputs)
        with as_float(rounded.module):
            inside = rounded.module(*model.example_inputs)
        after = rounded.module(*model.example_inputs)
        torch.testing.assert_close(inside, model.module.eval()(*model.example_inputs))
    assert torch.equal(before, after)
    assert not torch.equal(before, inside)


@pytest.mark.parametrize("setting", [{"steps": 0}, {"samples": 0}, {"batch": 0}])
def test_refuses_nothing_to_learn_from(setting: dict[str, int]) -> None:
    _, task = TINY_TASKS["image_classifier"]()
    with pytest.raises(ValueError, match="must be 1 or more, got 0"):
        LearnRanges(task, **setting)
