import pytest
import torch
from torch import nn

from lilliput.core import IntegerType, Model, PerGroup, Task, UnsupportedError, run
from lilliput.export import export, load
from lilliput.quantize import Precision, QuantizeStatic, quantizers
from lilliput.targets import get_target
from lilliput.testing.nets import image_classifier

USUAL = IntegerType(8)
TARGET = get_target("onnxruntime-cpu")


def test_a_name_counts_before_a_pattern_and_the_last_pattern_before_others() -> None:
    precision = Precision({"conv1": 8, "*": 4, "layer1.*": 2})
    assert precision.weight("conv1", USUAL).bits == 8
    assert precision.weight("layer1.0.conv", USUAL).bits == 2
    assert precision.weight("fc", USUAL).bits == 4
    assert Precision().weight("fc", USUAL) == USUAL


@pytest.mark.parametrize("bits", [1, 17])
def test_refuses_bits_that_no_integer_has(bits: int) -> None:
    with pytest.raises(ValueError, match=f"bits must be 2 to 16, got {bits}"):
        Precision({"*": bits})


def quantized(precision: Precision) -> tuple[Model, Model, Task]:
    model, task = image_classifier()
    return model, run(model, [QuantizeStatic(TARGET.rules, task, precision=precision)]), task


def layers_of(model: Model) -> list[str]:
    kinds = (nn.Conv2d, nn.Linear)
    return [name for name, part in model.module.named_modules() if isinstance(part, kinds)]


def test_an_unknown_layer_names_the_nearest() -> None:
    model, _ = image_classifier()
    name = layers_of(model)[0]
    with pytest.raises(UnsupportedError, match=f"did you mean '{name}'"):
        quantized(Precision({f"{name}x": 4}))


def test_weights_have_the_bits_asked_for() -> None:
    model, four, _ = quantized(Precision({"*": 4}))
    first = layers_of(model)[0]
    found = quantizers(four.module)
    assert found[f"{first}.weight_quantizer"].type.bits == 4
    weight = four.module.get_parameter(f"{first}.weight")
    rows = found[f"{first}.weight_quantizer"](weight).detach().flatten(1)
    assert all(len(row.unique()) <= 15 for row in rows)


def test_a_layer_left_float_has_no_quantizer() -> None:
    model, _ = image_classifier()
    last = layers_of(model)[-1]
    _, mixed, _ = quantized(Precision(floats=(last,)))
    assert f"{last}.weight_quantizer" not in quantizers(mixed.module)


def test_a_layer_that_reads_four_bits_reads_sixteen_values() -> None:
    model, _ = image_classifier()
    last = layers_of(model)[-1]
    _, mixed, task = quantized(Precision(activations={last: 4}))
    seen: list[torch.Tensor] = []
    four = [q for q in quantizers(mixed.module).values() if q.type.bits == 4]
    assert len(four) == 1
    handle = four[0].register_forward_hook(lambda _, __, output: seen.append(output))
    mixed.module(*next(task.batches("test"))[0])
    handle.remove()
    assert 2 < len(seen[0].unique()) <= 16


def test_groups_have_scales_of_their_own(tmp_path) -> None:
    from dataclasses import replace

    model, task = image_classifier()
    assert TARGET.rules is not None
    weight = replace(TARGET.rules.weight, bits=4, granularity=PerGroup(3))
    rules = replace(TARGET.rules, weight=weight)
    small = run(model, [QuantizeStatic(rules, task)])
    first = layers_of(model)[0]
    quantizer = quantizers(small.module)[f"{first}.weight_quantizer"]
    value = small.module.get_parameter(f"{first}.weight").detach()
    assert quantizer.scale.numel() == value.numel() // 3
    for group, rounded in zip(
        value.reshape(-1, 3), quantizer(value).detach().reshape(-1, 3), strict=True
    ):
        scale = group.abs().max() / 7
        torch.testing.assert_close(rounded, (group / scale).round().clamp(-7, 7) * scale)
    groups = replace(TARGET, rules=rules)
    file = load(export(small, groups, tmp_path).path, "onnx")
    inputs, _ = next(task.batches("test"))
    with torch.no_grad():
        expected = small.module(*inputs)
    (found,) = file(tuple(x.numpy() for x in inputs))
    torch.testing.assert_close(torch.from_numpy(found), expected, atol=0.05, rtol=0.05)
