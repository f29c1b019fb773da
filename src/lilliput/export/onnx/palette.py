"""Stores weights of few values as these values and narrow codes.

The runtime looks each code up once, when it loads the file: a `Cast` of the codes, a `Gather` of
the values and what a BatchNorm makes of them are constants, so nothing is slower.

Source: ONNX Runtime 1.32.0 folds `Cast`, `Gather`, `GatherElements` and `Mul` of constants; UINT4
came with ONNX opset 21 and IR 10, UINT2 with opset 25 and IR 13.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lilliput.export.onnx.constants import add_constant, constant_of
from lilliput.export.onnx.dialect import Dialect

__all__ = ["share"]

_WIDTHS = ((2, "uint2", 25, 13), (4, "uint4", 21, 10))
"""Bits and name of a type, and the versions of opset and IR that it came with."""


def share(model: Any, dialect: Dialect) -> None:
    """Changes an `onnx_ir` model in place; files without palettes stay as they are."""
    graph = model.graph
    for node in list(graph):
        codes = _codes_of(node)
        if codes is not None:
            weight = _look_up(model, node, codes, dialect)
            _fold_batch_norm(graph, weight)


def _codes_of(node: Any) -> NDArray[np.uint8] | None:
    """The codes that a lookup in a constant follows."""
    if node.op_type not in {"Gather", "GatherElements"} or node.inputs[0].const_value is None:
        return None
    value = node.inputs[1]
    while value.producer() is not None and value.producer().op_type in {"Cast", "Reshape"}:
        value = value.producer().inputs[0]
    codes = value.const_value.numpy() if value.const_value is not None else None
    return codes if codes is not None and codes.dtype == np.uint8 else None


def _look_up(model: Any, node: Any, codes: NDArray[np.uint8], dialect: Dialect) -> Any:
    """Codes of few bits, a cast and the lookup; gives the weight."""
    import onnx_ir as ir

    graph = model.graph
    old = node.outputs[0]
    users = [use.node for use in old.uses()]
    is_shaped = len(users) == 1 and users[0].op_type == "Reshape"
    result = users[0].outputs[0] if is_shaped else old
    by_row = node.op_type == "GatherElements"
    narrow = _narrow(model, codes.reshape(len(codes), -1) if by_row else codes, dialect.fewest_bits)
    added = [ir.node("Cast", [narrow], {"to": ir.DataType.INT32})]
    indices = added[0].outputs[0]
    if by_row and not dialect.folds_rows:
        values = constant_of(node.inputs[0])
        starts = np.arange(0, values.size, values.shape[1], dtype=np.int32)[:, None]
        added.append(ir.node("Add", [indices, add_constant(graph, starts)]))
        table = add_constant(graph, values.reshape(-1))
        added.append(ir.node("Gather", [table, added[-1].outputs[0]]))
    else:
        attributes = {"axis": 1} if by_row else {}
        added.append(ir.node(node.op_type, [node.inputs[0], indices], attributes))
    if by_row and codes.ndim != 2:
        shape = add_constant(graph, np.asarray(codes.shape, np.int64))
        added.append(ir.node("Reshape", [added[-1].outputs[0], shape]))
    graph.insert_before(node, added)
    weight = added[-1].outputs[0]
    weight.type, weight.shape = result.type, result.shape
    result.replace_all_uses_with(weight)
    return weight


def _narrow(model: Any, codes: NDArray[np.uint8], fewest_bits: int) -> Any:
    import ml_dtypes

    for bits, name, opset, version in _WIDTHS:
        if codes.max(initial=0) < 1 << bits and bits >= fewest_bits:
            model.ir_version = max(model.ir_version, version)
            model.opset_imports[""] = max(model.opset_imports[""], opset)
            return add_constant(model.graph, codes.astype(getattr(ml_dtypes, name)))
    return add_constant(model.graph, codes)


def _fold_batch_norm(graph: Any, weight: Any) -> None:
    """Two numbers for each channel instead of four, and nothing left to run."""
    import onnx_ir as ir

    uses = [use.node for use in weight.uses()]
    if len(uses) != 1 or uses[0].op_type != "Conv":
        return
    convolution = uses[0]
    readers = [use.node for use in convolution.outputs[0].uses()]
    is_only = len(readers) == 1 and not convolution.outputs[0].is_graph_output()
    if not is_only or readers[0].op_type != "BatchNormalization":
        return
    norm = readers[0]
    values = [constant_of(value) for value in (*norm.inputs[1:], *convolution.inputs[2:3])]
    if any(value is None for value in values):
        return
    gain, shift, mean, variance, *bias = (value.astype(np.float64) for value in values)
    gain = gain / np.sqrt(variance + norm.attributes.get_float("epsilon", 1e-5))
    shift = shift - gain * (mean - (bias[0] if bias else 0))
    axes = (-1, *[1] * (len(weight.shape) - 1))
    scale = add_constant(graph, gain.reshape(axes).astype(np.float32))
    scaled = ir.node("Mul", [weight, scale])
    graph.insert_before(convolution, scaled)
    offset = add_constant(graph, shift.astype(np.float32))
    whole = ir.node(
        "Conv",
        [convolution.inputs[0], scaled.outputs[0], offset],
        dict(convolution.attributes),
    )
    graph.insert_before(norm, whole)
    result = norm.outputs[0]
    whole.outputs[0].type, whole.outputs[0].shape = result.type, result.shape
    result.replace_all_uses_with(whole.outputs[0], replace_graph_outputs=True)
    graph.remove([convolution, norm], safe=True)
