"""Operators with few-bit weights whose activations are floats until they run, as graphs say it."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int, Int8, Shaped
from torch import Tensor, fx, nn
from torch.nn import functional

from lilliput.quantize.numbers.affine import quantize
from lilliput.quantize.numbers.dynamic_range import DynamicQuantize
from lilliput.quantize.numbers.fake import FakeQuantize

__all__ = ["codes_of", "lower_lookup", "lower_run_time"]

_LOOKUP = torch.ops.aten.embedding.default


def codes_of(value: Shaped[Tensor, "..."], quantizer: FakeQuantize) -> Int[Tensor, "..."]:
    """The integers of a constant."""
    scale = quantizer.spread(quantizer.scale, value)
    return quantize(value, scale, quantizer.spread(quantizer.zero_point, value), quantizer.type)


def lower_lookup(module: fx.GraphModule, call: fx.Node, value: Tensor) -> bool:
    """Looks codes up in the place of the floats of a table, and scales the rows that it finds.

    Args:
        module: Changed in place.
        call: Of a quantizer.
        value: Of the table.

    Returns:
        Whether the quantizer was a table's, whose lookups are changed now.
    """
    lookups = [user for user in call.users if user.target == _LOOKUP]
    if not lookups:
        return False
    quantizer = module.get_submodule(str(call.target))
    assert isinstance(quantizer, FakeQuantize)  # noqa: S101
    scale = quantizer.scale.detach().reshape(-1, 1)
    for node in lookups:
        codes = _buffer(module, f"{node.name}_codes", codes_of(value, quantizer).to(torch.int8))
        scales = _buffer(module, f"{node.name}_scale", scale if len(scale) > 1 else scale.view(()))
        _replace(module, node, _rows, (codes, scales, node.args[1]))
    return True


def _rows(
    codes: Int8[Tensor, "rows features"], scale: Float[Tensor, "..."], index: Int[Tensor, "..."]
) -> Float[Tensor, "..."]:
    found = functional.embedding(index, codes).to(torch.float32)
    return found * (functional.embedding(index, scale) if scale.dim() else scale)


def lower_run_time(module: fx.GraphModule, evaluate: Callable[[fx.Node], Tensor]) -> None:
    """Gives linear layers whose activations are quantized at run time their ONNX operators.

    Args:
        module: Changed in place.
        evaluate: Gives the value of a constant node.

    Source: the ONNX operator specifications of DynamicQuantizeLinear and MatMulInteger; ONNX
    Runtime 1.32.0 fuses them to DynamicQuantizeMatMul.
    """
    for call in list(module.graph.nodes):
        if not isinstance(_part(module, call), DynamicQuantize):
            continue
        for node in list(call.users):
            weight, *rest = node.args[1:]
            quantizer = _part(module, weight)
            assert isinstance(quantizer, FakeQuantize)  # noqa: S101
            value = evaluate(weight.args[0])
            codes = codes_of(value, quantizer).to(torch.int8).mT.contiguous()
            arguments = (
                call.args[0],
                _buffer(module, f"{node.name}_codes", codes),
                _buffer(module, f"{node.name}_scale", quantizer.scale.detach()),
                rest[0] if rest else None,
            )
            _replace(module, node, _product, arguments)
        module.graph.erase_node(call)


def _product(
    x: Float[Tensor, "..."],
    codes: Int8[Tensor, "in out"],
    scale: Float[Tensor, "..."],
    bias: Float[Tensor, " out"] | None,
) -> Float[Tensor, "..."]:
    integers, step, zero_point = torch.onnx.ops.symbolic_multi_out(
        "DynamicQuantizeLinear",
        (x,),
        dtypes=(torch.uint8, torch.float32, torch.uint8),
        shapes=(x.shape, (), ()),
        version=11,
    )
    sums = torch.onnx.ops.symbolic(
        "MatMulInteger",
        (integers, codes, zero_point),
        dtype=torch.int32,
        shape=(*x.shape[:-1], codes.shape[1]),
        version=10,
    )
    product = sums.to(torch.float32) * (step * scale)
    return product if bias is None else product + bias


def _replace(
    module: fx.GraphModule, node: fx.Node, target: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    with module.graph.inserting_before(node):
        new = module.graph.call_function(target, arguments)
    new.meta = dict(node.meta)
    node.replace_all_uses_with(new)
    module.graph.erase_node(node)


def _buffer(module: fx.GraphModule, name: str, value: Tensor) -> fx.Node:
    """A constant before all else."""
    module.register_buffer(name, value.clone())
    with module.graph.inserting_before(next(iter(module.graph.nodes))):
        return module.graph.get_attr(name)


def _part(module: fx.GraphModule, node: Any) -> nn.Module | None:
    is_call = isinstance(node, fx.Node) and node.op == "call_module"
    return module.get_submodule(str(node.target)) if is_call else None
