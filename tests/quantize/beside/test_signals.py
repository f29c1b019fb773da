"""Signal-to-noise ratios and ranges against formulas."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from lilliput.core import Model, PassError, PerTensor, run
from lilliput.quantize import QuantizeStatic
from lilliput.quantize.beside.signals import signal_to_noise, signals, weight_ranges
from lilliput.targets import get_target
from lilliput.testing import TINY_TASKS

RULES = get_target("onnxruntime-cpu").rules


def test_noise_of_a_known_power_gives_its_decibels() -> None:
    x = torch.sin(torch.arange(1000.0))
    noise = torch.cos(torch.arange(1000.0))  # of the same power
    found = signal_to_noise([x[:500], x[500:]], [(x + 0.1 * noise)[:500], (x + 0.1 * noise)[500:]])
    assert found == pytest.approx(20.0, abs=0.02)
    assert signal_to_noise([x], [x]) is None


def test_rounding_to_eight_bits_costs_what_the_formula_says() -> None:
    """6.02 dB a bit, and 4.77 less the ratio of peak to effective value."""
    model, task = TINY_TASKS["two_output_regressor"]()
    quantized = run(model, [QuantizeStatic(RULES, task)])
    inputs, _ = next(task.batches("validation"))
    first = signals(quantized, [inputs])[0]
    (x,) = inputs
    step = float(next(q.scale for n, q in quantized.module.named_modules() if "sensors" in n))
    expected = 10 * math.log10(float(x.square().mean()) / (step**2 / 12))
    assert first.decibels == pytest.approx(expected, abs=0.6)


def test_the_last_signal_is_the_outputs() -> None:
    model, task = TINY_TASKS["image_classifier"]()
    quantized = run(model, [QuantizeStatic(RULES, task)])
    inputs, _ = next(task.batches("validation"))
    with torch.no_grad():
        plain, rounded = model.module(*inputs), quantized.module(*inputs)
    expected = 10 * math.log10(
        float(plain.square().sum()) / float((plain - rounded).square().sum())
    )
    last = signals(quantized, [inputs])[-1]
    assert last.name == "head"
    assert last.decibels == pytest.approx(expected, abs=1e-3)
    assert last.values.least == pytest.approx(float(plain.min()), rel=1e-5)
    assert last.values.most == pytest.approx(float(plain.max()), rel=1e-5)


def test_a_network_without_quantizers_is_refused() -> None:
    model, task = TINY_TASKS["image_classifier"]()
    with pytest.raises(PassError, match="QuantizeStatic comes before"):
        signals(model, [next(task.batches("validation"))[0]])


def test_weight_ranges_are_of_the_channels() -> None:
    net = nn.Sequential(nn.Linear(2, 3))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[4.0, -4.0], [0.5, 0.0], [0.0, 0.0]]))
    _, task = TINY_TASKS["two_output_regressor"]()
    batches = [(torch.randn(8, 2), torch.zeros(8)) for _ in range(2)]
    task = type(task)("two", batches, batches, task.loss, task.metric)
    rules = RULES
    per_tensor = replace(rules, weight=replace(rules.weight, granularity=PerTensor()))
    model = Model(net.eval(), (batches[0][0],))
    found = weight_ranges(run(model, [QuantizeStatic(per_tensor, task)]))["0"]
    assert found.ratio == 8.0
    assert (found.channels.least, found.channels.middle, found.channels.most) == (0.0, 0.5, 4.0)
    # the first channel uses all 255 codes, the second 0 to 16, the third one
    assert found.codes == pytest.approx((255 + 17 + 1) / 3 / 255, abs=1e-6)
    whole = weight_ranges(run(model, [QuantizeStatic(rules, task)]))["0"]
    assert whole.codes == pytest.approx((255 + 128 + 1) / 3 / 255, abs=1e-6)
