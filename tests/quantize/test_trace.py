"""A quantized network is still one that `trace` and `cost` can read."""

import pytest
import torch
from torch.utils._pytree import tree_leaves

from lilliput.core import Model, Pass, Target, Task, run
from lilliput.graph import cost, peak_memory, trace
from lilliput.quantize import QuantizeAware, QuantizeStatic
from lilliput.targets import get_target
from lilliput.testing import TINY_TASKS


def passes(target: Target, task: Task) -> list[Pass]:
    assert target.rules is not None
    return [QuantizeStatic(target.rules, task), QuantizeAware(target.rules, task)]


@pytest.mark.parametrize("target", ["onnxruntime-cpu", "litert-cpu"])
@pytest.mark.parametrize("tiny", TINY_TASKS)
@torch.no_grad()
def test_a_trace_computes_the_same(tiny: str, target: str) -> None:
    model, task = TINY_TASKS[tiny]()
    for pass_ in passes(get_target(target), task):
        quantized = run(model, [pass_])
        program = trace(quantized).program.module(check_guards=False)
        outputs, expected = (
            tree_leaves(net(*model.example_inputs)) for net in (program, quantized.module)
        )
        for one, other in zip(outputs, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("tiny", TINY_TASKS)
def test_costs_the_same_in_a_quarter_of_the_bytes(tiny: str) -> None:
    model, task = TINY_TASKS[tiny]()
    quantized: Model = run(model, passes(get_target("litert-cpu"), task)[:1])
    own, graph = {row.name: row for row in cost(trace(model))}, trace(quantized)
    rows = {row.name: row for row in cost(graph)}
    assert sum(row.macs for row in rows.values()) == sum(row.macs for row in own.values())
    assert peak_memory(graph).peak_bytes <= peak_memory(trace(model)).peak_bytes
    layers = {name for name, row in own.items() if row.macs and row.parameters}
    assert layers <= set(rows)
    for name in layers:
        saved = 3 * model.module.get_parameter(weight_of(model, name)).numel()
        grown = 4 * rows[name].parameters - 4 * own[name].parameters  # a bias from BatchNorm
        extra = rows[name].weight_bytes - (own[name].weight_bytes - saved + grown)
        assert 0 <= extra <= 8 * (1 + rows[name].parameters)  # scales and zero points


def weight_of(model: Model, name: str) -> str:
    names = dict(model.module.named_parameters())
    return f"{name}.weight" if f"{name}.weight" in names else f"{name}_weight"
