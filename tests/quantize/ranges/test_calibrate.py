from dataclasses import replace

import pytest
import torch
from tests.quantize.nets import Joined, JoinedIntegers, imaged
from torch import nn

from lilliput.core import Model, PassError, Task, run
from lilliput.quantize import MinMax, QuantizeStatic, quantizers
from lilliput.quantize.bits.precision import Precision
from lilliput.quantize.placing.insert import insert
from lilliput.quantize.ranges.calibrate import calibrate
from lilliput.targets import get_target
from lilliput.testing import TINY_TASKS

ORT, LITERT = (get_target(name).rules for name in ("onnxruntime-cpu", "litert-cpu"))


def test_an_activation_gets_the_range_it_has_over_the_calibration_data() -> None:
    model, task = TINY_TASKS["two_output_regressor"]()
    found = quantizers(run(model, [QuantizeStatic(ORT, task, samples=40)]).module)
    inputs = torch.cat([inputs for (inputs,) in task.calibration(40)])
    assert len(inputs) == 40
    hidden = model.module.body[:2](inputs)
    for name, values in (("sensors_quantizer", inputs), ("relu_quantizer", hidden)):
        torch.testing.assert_close(found[name].low[0], values.min())
        torch.testing.assert_close(found[name].high[0], values.max())
    assert int(found["relu_quantizer"].zero_point) == 0


def test_a_shared_scale_covers_all_that_is_joined() -> None:
    model, task = imaged(JoinedIntegers())
    module = run(model, [QuantizeStatic(LITERT, task)]).module
    images = torch.cat([inputs for (inputs,) in task.calibration(512)])
    parts = [model.module.a(images), model.module.b(images)]
    found = quantizers(module)
    (shared,) = (found[name] for name in ("a_out_quantizer", "b_out_quantizer") if name in found)
    torch.testing.assert_close(shared.low[0], torch.cat(parts, 1).min())
    torch.testing.assert_close(shared.high[0], torch.cat(parts, 1).max())


def test_fewer_examples_than_asked_for_are_enough() -> None:
    model, task = imaged(Joined())
    assert quantizers(run(model, [QuantizeStatic(ORT, task, samples=10_000)]).module)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_an_activation_that_is_not_finite_is_named(bad: float) -> None:
    model, task = TINY_TASKS["image_classifier"]()
    inserted = insert(model, ORT, Precision())
    with torch.no_grad():
        inserted.model.module.get_parameter("conv1.bias")[0] = bad
    with pytest.raises(PassError, match="NaN or infinite at 'conv1'"):
        calibrate(inserted, task, MinMax(), 8)


def test_inputs_that_are_not_finite_are_named() -> None:
    model, task = TINY_TASKS["image_classifier"]()
    broken = [(images * float("nan"), labels) for images, labels in task.train]
    with pytest.raises(PassError, match="NaN or infinite at 'image'"):
        run(model, [QuantizeStatic(ORT, replace(task, train=broken))])


def test_biases_fit_in_32_bits_even_where_weights_almost_vanish() -> None:
    layer = nn.Linear(4, 3)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([1.0, 1e-20, 0.0]).view(3, 1) * torch.ones(3, 4))
        layer.bias.fill_(2.0)
    model = Model(layer.eval(), (torch.randn(2, 4),))
    data = [(torch.randn(8, 4), torch.zeros(8, 3))]
    metric = TINY_TASKS["two_output_regressor"]()[1].metric
    task = Task("t", data, data, nn.functional.mse_loss, metric)
    quantized = run(model, [QuantizeStatic(LITERT, task)])
    found = quantizers(quantized.module)
    weights = next(q for name, q in found.items() if name.endswith("weight_quantizer"))
    inputs = next(q for name, q in found.items() if name.startswith("input"))
    steps = layer.bias.detach() / (inputs.scale * weights.scale)
    assert float(steps.abs().max()) < 2**31
    x = data[0][0]
    torch.testing.assert_close(quantized.module(x), layer(x), atol=0.1, rtol=0)
