"""Reads a Core ML package by its written format alone, with no code that wrote it.

Source: Core ML's protocol buffers (MIL.proto) and the layout of weight files: at an entry's offset
a record of 64 bytes (sentinel 0xDEADBEEF, type, bytes, place of the data, bits of padding); numbers
of fewer than 8 bits lie one after another from the lowest bit of the first byte on.
"""

import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lilliput.core import ExportError

_FOLDER = "model.mlpackage/Data/com.apple.CoreML"
_PLAIN = {
    "FLOAT16": np.float16,
    "FLOAT32": np.float32,
    "INT8": np.int8,
    "UINT8": np.uint8,
    "INT16": np.int16,
    "UINT16": np.uint16,
    "INT32": np.int32,
    "BOOL": np.bool_,
}
_FEW = {"INT4": 4, "UINT1": 1, "UINT2": 2, "UINT3": 3, "UINT4": 4, "UINT6": 6}


@dataclass(frozen=True)
class Operation:
    """An operator with the names of what it reads, and what it has for constants."""

    kind: str
    inputs: dict[str, list[str]]
    constants: dict[str, Any]
    outputs: list[str]


@dataclass(frozen=True)
class Program:
    description: Any
    operations: list[Operation]
    outputs: list[str]


def read(path: Path) -> Program:
    from coremltools.proto import Model_pb2

    try:
        with zipfile.ZipFile(path) as file:
            content = file.read(f"{_FOLDER}/model.mlmodel")
            blob = file.read(f"{_FOLDER}/weights/weight.bin")
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise ExportError(f"{path}: {error}") from error
    spec = Model_pb2.Model()
    spec.ParseFromString(content)
    (block,) = spec.mlProgram.functions["main"].block_specializations.values()
    operations = []
    known: dict[str, Any] = {}
    for operator in block.operations:
        inputs, constants = {}, {}
        for name, argument in operator.inputs.items():
            arguments = argument.arguments
            inputs[name] = [a.name for a in arguments if a.WhichOneof("binding") == "name"]
            values = [a.value for a in arguments if a.WhichOneof("binding") == "value"]
            if values:
                constants[name] = value_of(values[0], blob)
        for name, value in operator.attributes.items():
            constants[name] = value_of(value, blob)
        outputs = [output.name for output in operator.outputs]
        if operator.type == "const":
            known[outputs[0]] = constants["val"]
        for name, names in inputs.items():
            if len(names) == 1 and names[0] in known:
                constants[name] = known[names[0]]
        operations.append(Operation(operator.type, inputs, constants, outputs))
    return Program(spec.description, operations, list(block.outputs))


def value_of(value: Any, blob: bytes) -> Any:
    from coremltools.proto import MIL_pb2

    tensor = value.type.tensorType
    kind = MIL_pb2.DataType.Name(tensor.dataType)
    shape = [dimension.constant.size for dimension in tensor.dimensions]
    if value.WhichOneof("value") == "blobFileValue":
        raw = _entry(blob, value.blobFileValue.offset)
        return _numbers(raw, kind, shape)
    held = value.immediateValue.tensor
    field = held.WhichOneof("value")
    if kind == "STRING":
        return held.strings.values[0]
    if field == "bytes":
        return _numbers(held.bytes.values, kind, shape)
    return np.array(list(getattr(held, field).values), _PLAIN[kind]).reshape(shape)


def _entry(blob: bytes, offset: int) -> bytes:
    sentinel, _, size, place = struct.unpack_from("<IIQQ", blob, offset)
    assert sentinel == 0xDEADBEEF
    return blob[place : place + size]


def _numbers(raw: bytes, kind: str, shape: list[int]) -> Any:
    count = int(np.prod(shape))
    if kind in _PLAIN:
        return np.frombuffer(raw, _PLAIN[kind], count).reshape(shape)
    width = _FEW[kind]
    bits = np.unpackbits(np.frombuffer(raw, np.uint8), bitorder="little")[: count * width]
    codes = (bits.reshape(count, width).astype(np.int64) << np.arange(width)).sum(1)
    if kind == "INT4":
        codes = (codes ^ 8) - 8
    return codes.reshape(shape)
