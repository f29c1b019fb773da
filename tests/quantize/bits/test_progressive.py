import pytest
import torch

from lilliput.core import IntegerType, TrainingHook, run
from lilliput.quantize import FakeQuantize, LowerBits, Precision, QuantizeAware, quantizers
from lilliput.targets import get_target
from lilliput.testing.nets import image_classifier
from lilliput.train import FineTune


def test_is_a_training_hook() -> None:
    assert isinstance(LowerBits(), TrainingHook)


def test_bits_fall_one_by_one_and_then_stay() -> None:
    lower = LowerBits(start=8, share=0.5)
    assert [lower.bits(4, epoch, 16) for epoch in range(16)] == [8, 8, 7, 7, 6, 6, 5, 5] + [4] * 8


def test_bits_of_no_share_are_the_last_at_once() -> None:
    assert [LowerBits(share=0.0).bits(2, epoch, 3) for epoch in range(3)] == [2, 2, 2]


@pytest.mark.parametrize("is_symmetric", [True, False])
def test_other_bits_cover_the_same_range(is_symmetric: bool) -> None:
    quantizer = FakeQuantize(IntegerType(4, is_symmetric=is_symmetric))
    quantizer.set_range(torch.tensor([-1.0]), torch.tensor([3.0]))
    x = torch.linspace(-8, 8, 1001)
    ends = quantizer(x).aminmax()
    quantizer.set_bits(8)
    assert len(quantizer(x).unique()) > 100
    wide = quantizer(x).aminmax()
    quantizer.set_bits(4)
    # a zero point that was rounded may move the range by a step
    step = float(quantizer.scale)
    for found in (wide, quantizer(x).aminmax()):
        torch.testing.assert_close(found.min, ends.min, rtol=0, atol=step)
        torch.testing.assert_close(found.max, ends.max, rtol=0, atol=step)


def test_training_ends_with_the_bits_that_were_asked_for() -> None:
    model, task = image_classifier()
    rules = get_target("onnxruntime-cpu").rules
    seen: list[set[int]] = []

    class Recorder:
        def on_step(self, module, step, steps) -> None: ...

        def on_epoch(self, module, epoch, epochs) -> None:
            seen.append({q.type.bits for q in quantizers(module).values()})

        def penalty(self, module) -> None: ...

    aware = QuantizeAware(
        rules, task, samples=64, precision=Precision({"*": 3}), learns_scales=True
    )
    tune = FineTune(task, epochs=4, learning_rate=1e-3, hooks=(LowerBits(5), Recorder()))
    trained = run(model, [aware, tune])
    assert seen == [{5, 8}, {4, 8}, {3, 8}, {3, 8}]
    assert {q.type.bits for q in quantizers(trained.module).values()} == {3, 8}


@pytest.mark.parametrize("setting", [{"start": 2}, {"start": 17}, {"share": 1.5}])
def test_refuses_settings_out_of_range(setting: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="got"):
        LowerBits(**setting)
