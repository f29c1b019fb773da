"""Stores weights of few bits in few bits.

ONNX Runtime computes with bytes, so a weight of four or two bits is stored as such and widened by a
`Cast`, which the runtime carries out once, when it loads the file: the download is smaller, the
kernels are those of int8, and nothing is slower.

Source: ONNX Runtime 1.32.0 folds a `Cast` of a constant; INT4 came with ONNX opset 21 and IR 10,
INT2 with opset 25 and IR 13.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["pack"]

_READERS = frozenset({"DequantizeLinear", "Cast", "Gather", "MatMulInteger"})
"""What reads the codes of a weight, first or second."""
_FEWEST_BYTES_SAVED = 64
"""A `Cast` and its names take about 40 bytes."""


@dataclass(frozen=True)
class _Width:
    """A type of few bits: which codes it holds, and from which version on."""

    bits: int
    low: int
    high: int
    opset: int
    ir: int


_WIDTHS = (_Width(2, -2, 1, 25, 13), _Width(4, -8, 7, 21, 10))


def pack(model: Any, fewest_bits: int = 2) -> None:
    """Changes an `onnx_ir` model in place; files without such weights stay as they are.

    Args:
        model: The file.
        fewest_bits: Of integers that the runtime reads.
    """
    for value in list(model.graph.initializers.values()):
        _halve(model.graph, value)
        width = _width_of(value, fewest_bits)
        if width is not None:
            _narrow(model.graph, value, width)
            model.ir_version = max(model.ir_version, width.ir)
            model.opset_imports[""] = max(model.opset_imports[""], width.opset)


def _halve(graph: Any, value: Any) -> None:
    """Floats that 16 bits hold without loss are stored so, and widened by a cast."""
    import ml_dtypes
    import onnx_ir as ir

    if value.const_value.dtype != ir.DataType.FLOAT or value.is_graph_output():
        return
    real = value.const_value.numpy()
    if 2 * real.size <= _FEWEST_BYTES_SAVED:
        return
    for dtype in (np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)):
        with np.errstate(over="ignore"):
            half = real.astype(dtype)
        if np.array_equal(half.astype(np.float32), real):
            _put(graph, value, half, ir.DataType.FLOAT)
            return


def _width_of(value: Any, fewest_bits: int) -> _Width | None:
    """The narrowest type that holds a dequantized constant of bytes."""
    import onnx_ir as ir

    uses = list(value.uses())
    is_weight = uses and all(use.node.op_type in _READERS and use.idx in {0, 1} for use in uses)
    if not is_weight or value.const_value.dtype != ir.DataType.INT8 or value.is_graph_output():
        return None
    codes = value.const_value.numpy()
    if not codes.size:
        return None
    low, high = int(codes.min()), int(codes.max())
    for width in _WIDTHS:
        is_held = width.low <= low and high <= width.high and width.bits >= fewest_bits
        if is_held and codes.size * (8 - width.bits) / 8 > _FEWEST_BYTES_SAVED:
            return width
    return None


def _narrow(graph: Any, value: Any, width: _Width) -> None:
    """Puts the narrow constant and a cast in a constant's place."""
    import ml_dtypes
    import onnx_ir as ir

    dtype = {2: ml_dtypes.int2, 4: ml_dtypes.int4}[width.bits]
    _put(graph, value, np.asarray(value.const_value.numpy()).astype(dtype), ir.DataType.INT8)


def _put(graph: Any, value: Any, narrow: Any, wide: Any) -> None:
    """Puts a narrow constant, and a cast to the wide type, in a constant's place."""
    import onnx_ir as ir

    name = f"{value.name}.{narrow.dtype}"
    constant = ir.Value(name=name, const_value=ir.tensor(narrow, name=name))
    readers = [use.node for use in value.uses()]
    cast = ir.node("Cast", [constant], {"to": wide})
    graph.register_initializer(constant)
    first = next(node for node in graph if node in readers)
    graph.insert_before(first, cast)
    value.replace_all_uses_with(cast.outputs[0])
    del graph.initializers[value.name]
