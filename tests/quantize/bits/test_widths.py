from dataclasses import replace

import pytest

from lilliput.quantize import RamBytes, allot_bits, bit_sensitivity
from lilliput.quantize.bits.widths import Widths, widths_of
from lilliput.targets import get_target
from lilliput.testing import TINY_TASKS

ONNX, LITERT = get_target("onnxruntime-cpu").rules, get_target("litert-cpu").rules


def test_onnx_runtime_stores_narrow_and_runs_bytes() -> None:
    found = widths_of("conv2d", (8, 4, 3, 2), ONNX)
    assert found == Widths({8: 8, 4: 4, 3: 4, 2: 2}, {8: 8, 4: 8, 3: 8, 2: 8})


def test_litert_runs_linear_layers_of_four_bits_as_they_are() -> None:
    assert widths_of("linear", (8, 3), LITERT) == Widths({8: 8, 3: 4}, {8: 8, 3: 4})
    assert widths_of("conv2d", (8, 3), LITERT) == Widths({8: 8, 3: 8}, {8: 8, 3: 8})


def test_rules_that_know_no_runtime_go_by_their_own_widths() -> None:
    rules = replace(ONNX, kernels=())
    assert widths_of("conv2d", (8, 3), rules) == Widths({8: 8, 3: 4}, {8: 8, 3: 8})


def test_floats_are_four_bytes() -> None:
    rules = replace(ONNX, activation=replace(ONNX.activation, bits=16))
    assert widths_of("conv2d", (8,), rules).run == {8: 32}


def test_memory_buys_four_bits_only_where_they_run() -> None:
    model, task = TINY_TASKS["image_classifier"]()
    found = bit_sensitivity(model, task, LITERT, bits=(8, 4), samples=16)
    dearest = found.ram_bytes(dict.fromkeys(found.counts, 8)) + found.activation_bytes
    chosen = allot_bits(found, RamBytes(dearest - 1))
    layers = dict(model.module.named_modules())
    narrow = {type(layers[name]).__name__ for name, bits in chosen.bits.items() if bits == 4}
    assert narrow == {"Linear"}


def test_activations_are_the_largest_two_that_live_at_once() -> None:
    model, task = TINY_TASKS["image_classifier"]()
    found = bit_sensitivity(model, task, ONNX, bits=(8,), samples=16)
    inputs = model.example_inputs[0][:1]
    assert found.activation_bytes >= inputs.numel()
    with pytest.raises(ValueError, match="got 0"):
        RamBytes(0)
