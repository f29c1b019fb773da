"""Linear layers whose activations are quantized at run time, as XNNPACK's partitioner knows them.

It looks for torchao's operators: a range for each row, quantize and dequantize, and a dequantize of
the weight's codes; in the file all that is one operator.

Source: ExecuTorch 1.5.1, backends/xnnpack/partition/config/gemm_configs.py and
backends/xnnpack/operators/quant_params.py, where codes of four bits are those from -8 to 7.
"""

from collections.abc import Callable
from operator import getitem
from typing import Any

import torch
from torch import Tensor, fx

from lilliput.core import QuantizationRules
from lilliput.export.executorch.converter import import_affine_operators
from lilliput.export.lower_weights import codes_of
from lilliput.quantize.placing.scheme import Weighted, kernel_of, weighted_operators

__all__ = ["lower_run_time"]


def lower_run_time(
    module: fx.GraphModule, rules: QuantizationRules | None, evaluate: Callable[[fx.Node], Tensor]
) -> None:
    """Spells out run-time quantization; what is computed stays the same.

    Args:
        module: A captured network with its quantizers; changed in place.
        rules: Say how wide the file holds the weights.
        evaluate: Gives the value of a constant node.

    Raises:
        MissingExtraError: torchao is not installed.
    """
    found = [each for each in weighted_operators(module) if each.scheme == "dynamic"]
    if not found:
        return
    import_affine_operators()
    for each in found:
        kernel = kernel_of(each, rules) if rules is not None else None
        bits = kernel.stored(each.quantizer.type.bits) if kernel else 8
        source, weight, *rest = each.node.args
        assert isinstance(source, fx.Node)  # noqa: S101
        assert isinstance(weight, fx.Node)  # noqa: S101
        with module.graph.inserting_before(each.node):
            rows = _rounded_rows(module.graph, source.all_input_nodes[0], source.meta["val"])
            reals = _reals(module, each, evaluate(weight.all_input_nodes[0]), bits)
        each.node.args = (rows, reals, *rest)
    module.graph.eliminate_dead_code()
    module.recompile()


def _rounded_rows(graph: fx.Graph, source: fx.Node, value: Tensor) -> fx.Node:
    """Each row of the last axis rounded to 8 bits of its own range."""
    ops: Any = torch.ops.torchao
    block = [*[1] * (value.dim() - 1), value.shape[-1]]
    limits = (torch.int8, -128, 127)
    wanted = (torch.finfo(torch.float32).eps, torch.float32, torch.int8)
    chosen = graph.call_function(
        ops.choose_qparams_affine, (source, "ASYMMETRIC", block, *limits, *wanted)
    )
    scale, zero_point = (graph.call_function(getitem, (chosen, place)) for place in (0, 1))
    grid = (block, scale, zero_point, *limits)
    codes = graph.call_function(ops.quantize_affine, (source, *grid))
    return graph.call_function(ops.dequantize_affine, (codes, *grid))


def _reals(module: fx.GraphModule, found: Weighted, value: Tensor, bits: int) -> fx.Node:
    """The weight's codes, and the operator that makes reals of them."""
    quantizer, ops = found.quantizer, torch.ops.quantized_decomposed
    name = f"{found.node.name}_weight"
    limits = (-8, 7) if bits == 4 else (-127, 127)
    codes = _buffer(module, f"{name}_codes", codes_of(quantizer(value), quantizer).to(torch.int8))
    size, rows = quantizer.group_size, len(value)
    scale = quantizer.scale.detach()
    scale = scale.view(rows, -1) if size else scale
    scales = _buffer(module, f"{name}_scale", scale)
    zeros = _buffer(module, f"{name}_zeros", torch.zeros(scale.shape, dtype=torch.int64))
    grid = (codes, scales, zeros)
    if size:
        grouped = (*grid, *limits, torch.int8, size, torch.float32)
        return module.graph.call_function(ops.dequantize_per_channel_group, grouped)
    return module.graph.call_function(ops.dequantize_per_channel, (*grid, 0, *limits, torch.int8))


def _buffer(module: fx.GraphModule, name: str, value: Tensor) -> fx.Node:
    module.register_buffer(name, value.clone())
    return module.graph.get_attr(name)
