"""The flatbuffer of a LiteRT file: read with bounds checked, and written without what only fills.

Source: tensorflow/compiler/mlir/lite/schema/schema.fbs, version 3.
"""

import math
import struct
from collections.abc import Iterable
from typing import Any

import numpy as np

from lilliput.core import ExportError
from lilliput.export.format import Array

__all__ = ["constant", "kinds", "pack", "read", "strip"]

_IDENTIFIER = b"TFL3"
_BUFFER_ALIGNMENT = 16
# tensor type codes of the schema whose items are whole bytes
_ITEM_BYTES = {0: 4, 1: 2, 2: 4, 3: 1, 4: 8, 6: 1, 7: 2, 9: 1, 10: 8, 15: 4, 16: 2}


def read(data: Any, name: str) -> Any:
    """The file as `ModelT` objects; constants are views into `data`.

    Args:
        data: The file's bytes, or a memory map of them.
        name: What to call the file in an error.

    Raises:
        ExportError: The bytes are no LiteRT file, are cut off, or point outside themselves.
    """
    from ai_edge_litert import schema_py_generated as schema

    if len(data) < 8 or bytes(data[4:8]) != _IDENTIFIER:
        raise ExportError(f"{name} is no LiteRT file: 'TFL3' is missing at byte 4")
    try:
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(data, 0))
        _check(model, len(data))
    except (struct.error, LookupError, ValueError, TypeError, OverflowError) as error:
        raise ExportError(
            f"{name} ({len(data):,} bytes) is cut off or damaged: {error or type(error).__name__}"
        ) from error
    return model


def _check(model: Any, size: int) -> None:
    if not model.subgraphs or not model.operatorCodes or not model.buffers:
        raise ValueError("it holds no graph")
    if any((b.offset or 0) + (b.size or 0) > size for b in model.buffers):
        raise ValueError("a constant lies behind the end of the file")
    for graph in model.subgraphs:
        count = len(graph.tensors)
        for tensor in graph.tensors:
            _check_tensor(model, tensor)
        for operator in graph.operators:
            model.operatorCodes[operator.opcodeIndex]
            _check_indices([*operator.inputs, *operator.outputs], count, "an operator")
        _check_indices([*graph.inputs, *graph.outputs], count, "the graph")


def _check_indices(indices: Iterable[Any], count: int, whose: str) -> None:
    wrong = [int(index) for index in indices if not -1 <= index < count]
    if wrong:
        raise ValueError(f"{whose} names tensor {wrong[0]} of {count}")


def _check_tensor(model: Any, tensor: Any) -> None:
    held = len(constant(model, tensor))
    shape = [int(size) for size in tensor.shape] if tensor.shape is not None else []
    item = _ITEM_BYTES.get(tensor.type)
    if held and item is not None and held != math.prod(shape) * item:
        raise ValueError(f"a constant of shape {shape} has {held:,} bytes")


def constant(model: Any, tensor: Any) -> Array:
    """The raw bytes of a constant tensor; empty for the others."""
    data = model.buffers[tensor.buffer].data
    return np.empty(0, np.uint8) if data is None else np.asarray(data, np.uint8)


def kinds(model: Any, graph: Any) -> list[str]:
    """The operators of a graph in the order they run, `CONV_2D`; `OPERATOR_999` if unknown."""
    from ai_edge_litert import schema_py_generated as schema

    names = {
        code: name
        for name, code in vars(schema.BuiltinOperator).items()
        if not name.startswith("_")
    }
    codes = [model.operatorCodes[operator.opcodeIndex] for operator in graph.operators]
    found = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in codes]
    return [names.get(code, f"OPERATOR_{code}") for code in found]


def strip(model: Any) -> dict[int, str]:
    """Drops tensor names and notes, in place; outputs are called `output`, `output_1`, ...

    Returns:
        The name each tensor had, by its index.
    """
    graph = model.subgraphs[0]
    names = {index: tensor.name.decode() for index, tensor in enumerate(graph.tensors)}
    graph.name = model.description = None
    model.metadata = [note for note in model.metadata or [] if note.name == b"min_runtime_version"]
    for tensor in (tensor for part in model.subgraphs for tensor in part.tensors):
        tensor.name = None
        if tensor.quantization is not None and tensor.quantization.scale is None:
            tensor.quantization = None
    for signature in model.signatureDefs:
        for entry in signature.outputs:
            if entry.name == b"output_0":
                entry.name = b"output"
        for entry in [*signature.inputs, *signature.outputs]:
            graph.tensors[entry.tensorIndex].name = entry.name
    return names


def pack(model: Any) -> bytes:
    """The bytes of the file; the model is used up."""
    import flatbuffers  # type: ignore[import-untyped]

    shared: dict[bytes, int] = {}
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            if tensor.quantization is not None:
                tensor.quantization = _Quantization(tensor.quantization, shared)
    model.buffers = [_Buffer(buffer.data) for buffer in model.buffers]
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), _IDENTIFIER)
    return bytes(builder.Output())


class _Quantization:
    """Packs like `QuantizationParametersT`, equal lists of zero points once for the whole file.

    They take 8 bytes a channel, are nearly all zero, and make 4 % of a small int8 file.
    """

    def __init__(self, parameters: Any, shared: dict[bytes, int]) -> None:
        self.scale = np.asarray(parameters.scale, np.float32)
        self.zero_point = np.asarray(parameters.zeroPoint, np.int64)
        self.dimension = parameters.quantizedDimension
        self.shared = shared

    def Pack(self, builder: Any) -> int:  # noqa: N802
        from ai_edge_litert import schema_py_generated as schema

        key = self.zero_point.tobytes()
        if key not in self.shared:
            self.shared[key] = builder.CreateNumpyVector(self.zero_point)
        scale = builder.CreateNumpyVector(self.scale)
        schema.QuantizationParametersStart(builder)
        schema.QuantizationParametersAddScale(builder, scale)
        schema.QuantizationParametersAddZeroPoint(builder, self.shared[key])
        schema.QuantizationParametersAddQuantizedDimension(builder, self.dimension)
        return int(schema.QuantizationParametersEnd(builder))


class _Buffer:
    """Packs like `BufferT`, at a multiple of 16 bytes, as the schema asks and Python's does not."""

    def __init__(self, data: Any) -> None:
        self.data = b"" if data is None else np.asarray(data, np.uint8).tobytes()

    def Pack(self, builder: Any) -> int:  # noqa: N802
        from ai_edge_litert import schema_py_generated as schema

        size = len(self.data)
        if size:
            builder.StartVector(1, size, _BUFFER_ALIGNMENT)
            builder.head = int(builder.Head() - size)
            builder.Bytes[builder.Head() : builder.Head() + size] = self.data
            builder.vectorNumElems = size
            vector = builder.EndVector()
        schema.BufferStart(builder)
        if size:
            schema.BufferAddData(builder, vector)
        return int(schema.BufferEnd(builder))
