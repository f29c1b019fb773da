"""Small int8 `.tflite` files made operator by operator, for the tests."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lilliput.export.litert.file import pack

__all__ = ["Net"]

_TYPES = {"float32": 0, "int32": 2, "int64": 4, "int8": 9, "int4": 17}


@dataclass
class Net:
    """A graph under construction; every method gives the index of a tensor."""

    tensors: list[Any] = field(default_factory=list)
    buffers: list[Any] = field(default_factory=list)
    operators: list[Any] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)
    is_extreme: bool = False
    maps: list[int] = field(default_factory=list)
    """Tensors of four axes that the next operators may read instead of an input of their own."""

    def given(self, shape, scale=1.0, zero_point=0, dtype="int8") -> int:
        """An input of the network."""
        index = self.tensor(shape, scale, zero_point, dtype)
        self.inputs.append(index)
        return index

    def tensor(  # noqa: PLR0913, PLR0917
        self, shape, scale=1.0, zero_point=0, dtype="int8", data=None, axis=0
    ) -> int:
        """Something that flows, or a constant."""
        from ai_edge_litert import schema_py_generated as schema

        buffer = schema.BufferT()
        buffer.data = (
            None if data is None else np.ascontiguousarray(data).reshape(-1).view(np.uint8)
        )
        self.buffers.append(buffer)
        found = schema.TensorT()
        found.shape = np.asarray(shape, np.int32)
        found.type = _TYPES[dtype]
        found.buffer = len(self.buffers)
        found.name = f"t{len(self.tensors)}"
        if scale is not None:
            parameters = schema.QuantizationParametersT()
            parameters.scale = np.atleast_1d(np.asarray(scale, np.float32))
            zeros = np.zeros(parameters.scale.shape, np.int64) + zero_point
            parameters.zeroPoint = zeros
            parameters.quantizedDimension = axis
            found.quantization = parameters
        self.tensors.append(found)
        return len(self.tensors) - 1

    def constant(self, data, scale=None, zero_point=0, axis=0) -> int:
        """Values that are known."""
        data = np.asarray(data)
        return self.tensor(data.shape, scale, zero_point, data.dtype.name, data, axis)

    def halves(self, codes, scale, axis=0) -> int:
        """Weights from -8 to 7 in half a byte each, the first in the lower half."""
        low, high = np.pad(codes.reshape(-1), (0, codes.size % 2)).reshape(-1, 2).T & 15
        data = (low | high << 4).astype(np.uint8)
        return self.tensor(codes.shape, scale, 0, "int4", data, axis)

    def add(self, kind: str, inputs, outputs, options: str = "", **values: Any) -> int:
        """An operator, its options a table of the schema; gives its first output."""
        from ai_edge_litert import schema_py_generated as schema

        code = getattr(schema.BuiltinOperator, kind)
        if code not in self.codes:
            self.codes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex = self.codes.index(code)
        operator.inputs = np.asarray(inputs, np.int32)
        operator.outputs = np.asarray(outputs, np.int32)
        if options:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, options)
            operator.builtinOptions = getattr(schema, f"{options}T")()
            for name, value in values.items():
                assert hasattr(operator.builtinOptions, name), name
                setattr(operator.builtinOptions, name, value)
        self.operators.append(operator)
        return outputs[0]

    def write(self, path: Path, outputs) -> Path:
        """The file."""
        from ai_edge_litert import schema_py_generated as schema

        graph = schema.SubGraphT()
        graph.tensors, graph.operators = self.tensors, self.operators
        graph.inputs = np.asarray(self.inputs, np.int32)
        graph.outputs = np.asarray(outputs, np.int32)
        model = schema.ModelT()
        model.version = 3
        model.buffers = [schema.BufferT(), *self.buffers]
        model.operatorCodes = []
        for code in self.codes:
            entry = schema.OperatorCodeT()
            entry.builtinCode, entry.deprecatedBuiltinCode, entry.version = code, min(code, 127), 1
            model.operatorCodes.append(entry)
        model.subgraphs = [graph]
        model.signatureDefs = []
        path.write_bytes(pack(model))
        return path
