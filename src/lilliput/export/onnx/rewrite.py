"""Says the same in fewer nodes: less to store, and about 3 microseconds less to run for each.

Every rewrite but one is exact. The exception rounds biases, as every integer runtime does.
"""

from typing import Any

import numpy as np

from lilliput.export.onnx.constants import add_constant, constant_of

__all__ = ["expose", "rewrite"]

_MOVEMENTS = frozenset(
    {"Slice", "Pad", "Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Concat", "MaxPool"}
)


def rewrite(graph: Any) -> None:
    """Changes an `onnx_ir` graph in place."""
    for node in graph:
        if node.op_type == "QuantizeLinear":
            _drop_requantize(graph, node)
        elif node.op_type in _MOVEMENTS:
            _move_integers(graph, node)
    rules = {
        "Slice": _merge_slices,
        "Relu": _drop_relu,
        "Gemm": _round_bias,
        "MatMul": _store_transposed,
        "AveragePool": _count_what_is_there,
    }
    for node in graph:
        if node.op_type in rules:
            rules[node.op_type](graph, node)
    for node in graph:
        if node.op_type in {"QuantizeLinear", "DequantizeLinear"}:
            _omit_zero_point(node)


def _drop_requantize(graph: Any, node: Any) -> None:
    """`Q(DQ(x))` is `x` where both have one scale."""
    source = node.inputs[0].producer()
    if source is None or source.op_type != "DequantizeLinear" or _grid(source) is None:
        return
    if _grid(source) == _grid(node) and not node.outputs[0].is_graph_output():
        node.outputs[0].replace_all_uses_with(source.inputs[0])
        graph.remove(node, safe=True)


def _move_integers(graph: Any, node: Any) -> None:
    """`Q(move(DQ(x)))` is `move(x)` where both sides have one scale: only places change."""
    moved = [node.inputs[0]] if node.op_type != "Concat" else list(node.inputs)
    sources: list[Any] = [value.producer() if value is not None else None for value in moved]
    if not all(source is not None and source.op_type == "DequantizeLinear" for source in sources):
        return
    output = node.outputs[0]
    sinks = [use.node for use in output.uses()]
    grid = _grid(sources[0])
    is_one_grid = all(_grid(other) == grid for other in [*sources, *sinks])
    if not is_one_grid or output.is_graph_output() or not sinks:
        return
    if {sink.op_type for sink in sinks} != {"QuantizeLinear"}:
        return
    is_wide = grid is not None and grid[2].itemsize > 1
    if is_wide and node.op_type in {"MaxPool", "Pad"}:  # the runtime has them for bytes only
        return
    if node.op_type == "Pad" and not _pad_with_zero_point(node, sinks[0]):
        return
    for index, source in enumerate(sources):
        node.replace_input_with(index, source.inputs[0])
    for source in set(sources):
        if not source.outputs[0].uses():
            graph.remove(source, safe=True)
    output.type = sinks[0].outputs[0].type
    for sink in sinks:
        sink.outputs[0].replace_all_uses_with(output)
        graph.remove(sink, safe=True)


def _grid(node: Any) -> tuple[Any, ...] | None:
    """Scale and zero point of a quantize or dequantize with one of each."""
    if node.op_type not in {"QuantizeLinear", "DequantizeLinear"}:
        return None
    constants = [constant_of(value) for value in node.inputs[1:]]
    if len(constants) != 2 or any(value is None or value.size != 1 for value in constants):
        return None
    scale, zero_point = constants
    return float(scale), int(zero_point), zero_point.dtype


def _pad_with_zero_point(node: Any, sink: Any) -> bool:
    """Zero is the zero point's code."""
    fill = constant_of(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] else np.zeros(1)
    mode = node.attributes.get_string("mode", "constant")
    if fill is None or fill.any() or mode != "constant" or len(node.inputs) > 3:
        return False
    node.resize_inputs(3)
    node.replace_input_with(2, sink.inputs[2])
    return True


def _merge_slices(graph: Any, node: Any) -> None:
    """A slice of a slice along other axes is one slice."""
    first = node.inputs[0].producer()
    if first is None or first.op_type != "Slice" or len(first.outputs[0].uses()) != 1:
        return
    if len(first.inputs) != 5 or len(node.inputs) != 5 or first.outputs[0].is_graph_output():
        return
    pairs = [
        (constant_of(a), constant_of(b))
        for a, b in zip(first.inputs[1:], node.inputs[1:], strict=True)
    ]
    if any(a is None or b is None for a, b in pairs) or min(*pairs[2][0], *pairs[2][1]) < 0:
        return
    if set(pairs[2][0]) & set(pairs[2][1]):
        return
    node.replace_input_with(0, first.inputs[0])
    for index, (a, b) in enumerate(pairs, 1):
        node.replace_input_with(index, add_constant(graph, np.concatenate([a, b])))
    graph.remove(first, safe=True)


def _drop_relu(graph: Any, node: Any) -> None:
    """Codes from 0 up, where 0 is zero, clip what is negative anyway."""
    output = node.outputs[0]
    sinks = [use.node for use in output.uses()]
    grids = [_grid(sink) if sink.op_type == "QuantizeLinear" else None for sink in sinks]
    is_clipped = all(grid is not None and grid[1:] == (0, np.uint8) for grid in grids)
    if sinks and is_clipped and not output.is_graph_output():
        output.replace_all_uses_with(node.inputs[0])
        graph.remove(node, safe=True)


def _round_bias(graph: Any, node: Any) -> None:
    """Gives a last layer, whose output stays float, the integer bias that lets it run in integers.

    ONNX Runtime rounds the biases of the other layers itself.

    Source: ONNX Runtime 1.32.0, `GemmNodeGroupSelector`: QGemm needs an int32 bias.
    """
    import onnx_ir as ir

    sources = [value.producer() if value is not None else None for value in node.inputs[:2]]
    bias = constant_of(node.inputs[2]) if len(node.inputs) > 2 else None
    is_integer = all(s is not None and s.op_type == "DequantizeLinear" for s in sources)
    is_quantized_after = any(u.node.op_type == "QuantizeLinear" for u in node.outputs[0].uses())
    if bias is None or not is_integer or is_quantized_after:
        return
    scales = [constant_of(source.inputs[1]) for source in sources if source is not None]
    if len(scales) != 2 or any(scale is None for scale in scales) or scales[0].size != 1:
        return
    scale = (scales[0].reshape(()) * scales[1].reshape(-1)).astype(np.float32)
    codes = np.round(bias / scale)
    if np.abs(codes).max() > np.iinfo(np.int32).max:
        return
    inputs = [add_constant(graph, codes.astype(np.int32)), add_constant(graph, scale)]
    axis = {"axis": 0} if scale.size > 1 else {}
    rounded = ir.node("DequantizeLinear", inputs, axis)
    graph.insert_before(node, rounded)
    node.replace_input_with(2, rounded.outputs[0])


def _store_transposed(graph: Any, node: Any) -> None:
    """Stores the integer weight of a product of more than two axes the way the product reads it.

    Source: ONNX Runtime 1.32.0, `MatMulNodeGroupSelector`: a product runs in integers
    (MatMulIntegerToFloat) only where both of its inputs come straight from a dequantize.
    """
    import onnx_ir as ir

    turn = node.inputs[1].producer()
    source = turn.inputs[0].producer() if turn is not None and turn.op_type == "Transpose" else None
    if source is None or source.op_type != "DequantizeLinear":
        return
    codes, scale, *zero_point = (constant_of(value) for value in source.inputs)
    if codes is None or codes.ndim != 2 or scale is None:
        return
    axis = source.attributes.get_int("axis", 1) % 2
    if not zero_point:
        zero_point = [np.zeros(scale.shape, codes.dtype)]
    stored = [np.ascontiguousarray(codes.T), scale, *zero_point]
    inputs = [add_constant(graph, array) for array in stored]
    turned = ir.node("DequantizeLinear", inputs, {"axis": 1 - axis})
    graph.insert_before(node, turned)
    node.replace_input_with(1, turned.outputs[0])


def _count_what_is_there(_: Any, node: Any) -> None:
    """Windows that reach over the end count no padding where there is none.

    Says what PyTorch and ONNX say; ONNX Runtime's integer kernel takes "counts padding" to mean
    that every window is whole.
    """
    attributes = node.attributes
    if attributes.get_int("ceil_mode", 0) and not any(attributes.get_ints("pads", (0,))):
        attributes.pop("count_include_pad", None)


def _omit_zero_point(node: Any) -> None:
    """Left out it is 0, and for a quantize an unsigned byte.

    Source: the ONNX operator specifications of QuantizeLinear and DequantizeLinear.
    """
    if len(node.inputs) < 3 or node.inputs[2] is None:
        return
    zero_point = constant_of(node.inputs[2])
    if zero_point is None or zero_point.any() or _feeds_product(node):
        return
    if node.op_type == "DequantizeLinear" or zero_point.dtype == np.uint8:
        node.resize_inputs(2)


def _feeds_product(node: Any) -> bool:
    """ONNX Runtime fuses integer matrix products only where zero points are written out."""
    near = [use.node for use in node.outputs[0].uses()] + [node.inputs[0].producer()]
    return any(other is not None and other.op_type in {"Gemm", "MatMul"} for other in near)


def expose(graph: Any) -> dict[str, tuple[float, int]]:
    """Makes every activation an output of the graph.

    Returns:
        Scale and zero point of those that are integers, by name.
    """
    import onnx_ir as ir

    grids = {}
    for node in graph:
        value = node.outputs[0]
        if node.op_type == "QuantizeLinear":
            scale, zero_point = constant_of(node.inputs[1]), np.zeros((), np.uint8)
            if len(node.inputs) > 2:
                zero_point = constant_of(node.inputs[2])
            grids[value.name] = (float(scale), int(zero_point))
            value.type = ir.TensorType(ir.DataType.from_numpy(zero_point.dtype))
        elif node.op_type == "DequantizeLinear":
            continue  # a weight, or what the quantize before it said
        elif node.inputs and node.inputs[0] is not None and node.inputs[0].name in grids:
            # it moves codes
            grids[value.name] = grids[node.inputs[0].name]
            value.type = node.inputs[0].type
        if not value.is_graph_output():
            graph.outputs.append(value)
    return grids
