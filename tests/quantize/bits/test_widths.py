from dataclasses import replace

import torch
from torch import Tensor, nn

from lilliput.core import Accuracy, Model, Task
from lilliput.quantize import RamBytes, WeightBytes, allot_bits, bit_sensitivity
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
    fixed = found.activation_bytes + found.fixed_bytes
    dearest = found.ram_bytes(dict.fromkeys(found.counts, 8)) + fixed
    chosen = allot_bits(found, RamBytes(dearest - 1))
    layers = dict(model.module.named_modules())
    narrow = {type(layers[name]).__name__ for name, bits in chosen.bits.items() if bits == 4}
    assert narrow == {"Linear"}


class Words(nn.Module):
    """A table, a convolution with BatchNorm, and a parameter that no rule knows."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.conv = nn.Embedding(10, 4), nn.Conv1d(4, 6, 1, bias=False)
        self.norm, self.head = nn.BatchNorm1d(6), nn.Linear(6, 3)
        self.places = nn.Parameter(torch.zeros(4, 5))

    def forward(self, words: Tensor) -> Tensor:
        x = self.table(words).transpose(1, 2) + self.places
        return self.head(self.norm(self.conv(x)).mean(2))


def test_tables_and_floats_are_counted() -> None:
    words = torch.randint(0, 10, (8, 5))
    task = Task("words", [(words, words)], [(words, words)], lambda y, _: y.mean(), Accuracy())
    model = Model(Words().eval(), (words,))
    found = bit_sensitivity(model, task, ONNX, bits=(8, 2), samples=8)
    assert found.counts == {"conv": 24, "head": 18}
    assert found.fixed_bytes == 10 * 4 + 4 * 5 * 4
    # one example: the sum of 4 x 5 and what the convolution makes of it, BatchNorm being folded
    assert found.activation_bytes == 4 * 5 + 6 * 5
    least = allot_bits(found, WeightBytes(140))
    assert least.weight_bytes == found.weight_bytes(least.bits) + 120
