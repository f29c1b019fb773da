"""Weights in few bits where activations are floats: in the form that ONNX Runtime runs best.

Groups along the inputs of a linear layer become a blocked `DequantizeLinear`, which the runtime
fuses to `MatMulNBits`: weights stay in few bits in memory. All others become a `Cast` and a `Mul`,
which it carries out once, when it loads the file; a `DequantizeLinear` it would carry out at every
call.

Source: ONNX Runtime 1.32.0, MatMulNBits of blocks of 16 to 256 weights.
"""

from typing import Any

import numpy as np

from lilliput.export.onnx.constants import add_constant, constant_of

__all__ = ["open_weights"]

_BLOCKS = frozenset({16, 32, 64, 128, 256})
_OPSET, _IR = 21, 10
_MOVES = frozenset({"Reshape", "Transpose"})


def open_weights(model: Any) -> None:
    """Changes an `onnx_ir` model in place."""
    graph = model.graph
    for node in list(graph):
        codes = constant_of(node.inputs[0]) if node.op_type == "DequantizeLinear" else None
        if codes is None:
            continue
        readers = _readers(node)
        if any(_reads_integers(reader) for reader, _ in readers):
            continue
        if len(readers) == 1 and _as_blocks(graph, node, *readers[0]):
            model.ir_version = max(model.ir_version, _IR)
            model.opset_imports[""] = max(model.opset_imports[""], _OPSET)
        else:
            _as_product(graph, node)


def _readers(node: Any) -> list[tuple[Any, tuple[str, ...]]]:
    """Who reads what a node gives, and through which moves."""
    found: list[tuple[Any, tuple[str, ...]]] = []
    for use in node.outputs[0].uses():
        if use.node.op_type in _MOVES and use.idx == 0:
            found += [(r, (use.node.op_type, *moves)) for r, moves in _readers(use.node)]
        else:
            found.append((use.node, ()))
    return found


def _reads_integers(node: Any) -> bool:
    source = node.inputs[0].producer() if node.inputs and node.inputs[0] is not None else None
    return (
        source is not None
        and source.op_type == "DequantizeLinear"
        and constant_of(source.inputs[0]) is None
    )


def _as_product(graph: Any, node: Any) -> None:
    import onnx_ir as ir

    codes, scale = constant_of(node.inputs[0]), constant_of(node.inputs[1])
    if scale.size > 1:
        axis = node.attributes.get_int("axis", 1)
        scale = scale.reshape([-1 if i == axis else 1 for i in range(codes.ndim)])
    zero_point = constant_of(node.inputs[2]) if len(node.inputs) > 2 else None
    if zero_point is not None and zero_point.any():
        return
    cast = ir.node("Cast", [node.inputs[0]], {"to": ir.DataType.FLOAT})
    factor = add_constant(graph, scale.astype(np.float32))
    product = ir.node("Mul", [cast.outputs[0], factor])
    graph.insert_before(node, [cast, product])
    node.outputs[0].replace_all_uses_with(product.outputs[0])
    graph.remove(node, safe=True)


def _as_blocks(graph: Any, node: Any, reader: Any, moves: tuple[str, ...]) -> bool:
    """A product with a grouped weight, as `MatMul` of a blocked dequantize; False for others."""
    import ml_dtypes
    import onnx_ir as ir

    rows, scale = constant_of(node.inputs[0]), constant_of(node.inputs[1])
    size = rows.shape[1] if rows.ndim == 2 else 0
    transposed = reader.op_type == "Gemm" and reader.attributes.get_int("transB", 0) == 1
    is_product = (transposed and moves == ("Reshape",)) or (
        reader.op_type == "MatMul" and moves == ("Reshape", "Transpose")
    )
    shape = reader.outputs[0].shape
    if not is_product or size not in _BLOCKS or shape is None or not isinstance(shape[-1], int):
        return False
    codes = rows.reshape(shape[-1], -1).T
    scales = np.ascontiguousarray(scale.reshape(shape[-1], -1).T)
    is_narrow = codes.min() >= -8 and codes.max() <= 7
    codes = np.ascontiguousarray(codes).astype(ml_dtypes.int4 if is_narrow else np.int8)
    inputs = [add_constant(graph, codes), add_constant(graph, scales)]
    weight = ir.node("DequantizeLinear", inputs, {"axis": 0, "block_size": size})
    product = ir.node("MatMul", [reader.inputs[0], weight.outputs[0]])
    new = [weight, product]
    if reader.op_type == "Gemm" and len(reader.inputs) > 2 and reader.inputs[2] is not None:
        bias = constant_of(reader.inputs[2])
        if bias is None:
            return False
        # an Add the runtime would fuse first, to a Gemm that reads floats
        new.append(ir.node("Sub", [product.outputs[0], add_constant(graph, -bias)]))
    graph.insert_before(reader, new)
    output = new[-1].outputs[0]
    output.type, output.shape = reader.outputs[0].type, reader.outputs[0].shape
    ir.convenience.replace_all_uses_with(reader.outputs[0], output, replace_graph_outputs=True)
    graph.remove(reader, safe=True)
    return True
