"""What users get wrong, or data bring along: told with the value and the way out, or harmless."""

from dataclasses import replace

import pytest
import torch
from tests.export.claims import images, task_of

from lilliput.core import Model, PassError, UnsupportedError, run
from lilliput.export import export, load
from lilliput.quantize import Precision, QuantizeStatic
from lilliput.targets import get_target

ORT, LITERT = get_target("onnxruntime-cpu"), get_target("litert-cpu")


def changed(fill) -> Model:
    model = images()[0].clone()
    with torch.no_grad():
        fill(model.module)
    return model


def zero_channel(module) -> None:
    module.conv.weight[0].zero_()
    module.conv.bias[0] = 0.0


def dead_layer(module) -> None:
    module.conv.weight.zero_()
    module.conv.bias.fill_(-1.0)


BROKEN = {
    "all equal": lambda module: module.conv.weight.fill_(0.25),
    "all zero": lambda module: module.conv.weight.zero_(),
    "a channel that is zero": zero_channel,
    "a layer that gives only zeros": dead_layer,
}


@pytest.mark.parametrize("target", [ORT, pytest.param(LITERT, marks=pytest.mark.slow)])
@pytest.mark.parametrize("what", BROKEN)
def test_flat_weights_and_dead_channels_run_and_agree(target, what: str, tmp_path) -> None:
    model, task = changed(BROKEN[what]), images()[1]
    small = run(model, [QuantizeStatic(target.rules, task)])
    (inputs,) = next(task.batches("test"))[0]
    with torch.no_grad():
        expected, real = small.module(inputs), model.module(inputs)
    (found,) = load(export(small, target, tmp_path).path, target.format)((inputs.numpy(),))
    spread = float(real.max() - real.min())
    assert float((expected - real).abs().max()) < 0.1 * spread
    assert float((torch.from_numpy(found) - expected).abs().max()) < 0.05 * spread


def test_data_with_nan_name_the_layer_that_reads_them() -> None:
    model, _ = images()
    inputs = torch.randn(4, 4, 4, 4)
    inputs[1, 2, 0, 0] = float("nan")
    task = task_of([(inputs, torch.zeros(4, dtype=torch.int64))])
    with pytest.raises(PassError, match="NaN or infinite at 'image'"):
        run(model, [QuantizeStatic(ORT.rules, task)])


def test_data_of_one_class_are_as_good_as_any() -> None:
    model, task = images()
    one = [(x, torch.zeros_like(y)) for (x,), y in task.batches("train")]
    ours, theirs = (
        run(model, [QuantizeStatic(ORT.rules, t)]).module.state_dict() for t in (task, task_of(one))
    )
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("bits", [1, 17])
def test_bits_out_of_range_are_refused_with_the_number(bits: int) -> None:
    with pytest.raises(ValueError, match=f"bits must be 2 to 16, got {bits}"):
        replace(ORT.rules.activation, bits=bits)


def test_a_name_that_fits_nothing_gets_the_nearest() -> None:
    model, task = images()
    with pytest.raises(UnsupportedError, match=r"called 'convv'; did you mean 'conv'"):
        run(model, [QuantizeStatic(ORT.rules, task, precision=Precision({"convv": 4}))])
