import pytest
import torch
from tests.export.nets import examples, quantized
from torch import fx

from lilliput.export.lower import is_quantized, lower
from lilliput.quantize import quantizers
from lilliput.testing import TINY_TASKS

TARGETS = ["onnxruntime-cpu", "litert-cpu"]


def operators(module: torch.nn.Module) -> list[str]:
    assert isinstance(module, fx.GraphModule)
    return [str(node.target) for node in module.graph.nodes if node.op == "call_function"]


def quantizer_calls(module: torch.nn.Module) -> int:
    assert isinstance(module, fx.GraphModule)
    names = quantizers(module)
    return sum(node.op == "call_module" and node.target in names for node in module.graph.nodes)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("stores_integers", [True, False])
def test_pairs_compute_what_quantizers_simulate(target: str, stores_integers: bool) -> None:
    model = quantized("image_classifier", target)
    lowered = lower(model, stores_integers)
    inputs = examples("image_classifier", 8)
    with torch.no_grad():
        expected, result = model.module(*inputs), lowered.module(*inputs)
    # two ways to round: x * (1 / scale) and x / scale differ on ties
    assert (result - expected).abs().max() <= 0.02 * (expected.max() - expected.min())


def test_no_quantizer_is_left_and_the_model_is_as_before() -> None:
    model = quantized("image_classifier", "onnxruntime-cpu")
    count, calls = len(quantizers(model.module)), quantizer_calls(model.module)
    lowered = lower(model, stores_integers=False)
    assert not is_quantized(lowered)
    names = operators(lowered.module)
    assert sum("decomposed.quantize" in name for name in names) == calls
    assert sum("decomposed.dequantize" in name for name in names) == calls
    assert len(quantizers(model.module)) == count


def test_stored_integers_are_bytes_and_the_float_weights_are_gone() -> None:
    model = quantized("image_classifier", "onnxruntime-cpu")
    lowered = lower(model, stores_integers=True)
    tensors = dict(lowered.module.named_buffers()) | dict(lowered.module.named_parameters())
    codes = [t for name, t in tensors.items() if name.endswith("_codes")]
    assert len(codes) == 4
    assert {t.dtype for t in codes} == {torch.int8}
    assert not any(t.is_floating_point() and t.dim() > 1 for t in tensors.values())


def test_a_quantizer_that_does_not_act_leaves_no_pair() -> None:
    model = quantized("image_classifier", "onnxruntime-cpu").clone()
    for part in quantizers(model.module).values():
        part.is_enabled = False
    assert not is_quantized(model)
    assert not any("quantize" in name for name in operators(lower(model, True).module))


def test_a_float_network_has_no_quantizers() -> None:
    assert not is_quantized(TINY_TASKS["image_classifier"]()[0])
