"""What an ExecuTorch file holds: the pieces that XNNPACK runs, and the operators left outside.

Source: ExecuTorch 1.5.1, backends/xnnpack/serialization/schema.fbs.
"""

import json
import struct
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from lilliput.core import ExportError
from lilliput.export.quiet import quiet

__all__ = ["Contents", "Node", "Value", "read", "verify"]

_IDENTIFIER, _HEADER = b"ET12", b"eh00"


@dataclass(frozen=True)
class Value:
    """A tensor inside XNNPACK.

    Args:
        kind: `qint8`, `qcint4` and so on, as XNNPACK calls it.
        scale: Floats of 32 bits, as bytes, or of 16 where groups of four bits have them; empty
            for floats and where they are found at run time.
        zero_point: The code of zero.
        size_bytes: Of a constant; 0 for what is computed.
    """

    kind: str
    scale: bytes = b""
    zero_point: int = 0
    size_bytes: int = 0


@dataclass(frozen=True)
class Node:
    """An operator that XNNPACK runs.

    Args:
        kind: `Conv2d`, `FullyConnected` and so on.
        inputs: What it reads, weights and biases not among them.
        output: What it gives.
        weight: None where it has none.
    """

    kind: str
    inputs: tuple[Value, ...]
    output: Value
    weight: Value | None = None


@dataclass(frozen=True)
class Contents:
    """What is in a file.

    Args:
        nodes: What XNNPACK runs, piece by piece.
        operators: What portable kernels run: `aten::slice_copy`.
        pieces: How many pieces XNNPACK runs.
    """

    nodes: tuple[Node, ...]
    operators: tuple[str, ...]
    pieces: int


def read(data: bytes, name: str) -> Contents:
    """Takes a file apart.

    Args:
        data: Its bytes.
        name: What to call it in an error.

    Raises:
        ExportError: It is no ExecuTorch file.
    """
    with quiet():
        from executorch.exir._serialize._program import deserialize_pte_binary

        try:
            file = deserialize_pte_binary(data)
        except Exception as error:
            raise ExportError(f"{name} is no ExecuTorch file: {error}") from error
    program = file.program
    named = file.named_data
    constants = (
        {key: named.buffers[entry.buffer_index] for key, entry in named.pte_data.items()}
        if named is not None
        else {}
    )
    graphs = [_graph(bytes(delegate.data)) for delegate in program.backend_delegate_data]
    nodes = [node for graph in graphs for node in _nodes(graph, constants)]
    operators = [operator.name for plan in program.execution_plan for operator in plan.operators]
    return Contents(tuple(nodes), tuple(sorted(set(operators))), len(graphs))


def verify(data: bytes, name: str) -> None:
    """Compares what the header says with how much there is: the runtime may crash on what is cut.

    Args:
        data: The file's bytes.
        name: What to call the file in an error.

    Raises:
        ExportError: It is no ExecuTorch file, or ends too early.

    Source: ExecuTorch 1.5.1, exir/_serialize/_program.py.
    """
    if data[4:8] != _IDENTIFIER:
        raise ExportError(f"{name} is no ExecuTorch file: 'ET12' is missing at byte 4")
    if data[8:12] != _HEADER or len(data) < 40:
        raise ExportError(f"{name} has no header that says how long it is")
    program, start, rest = struct.unpack_from("<QQQ", data, 16)
    if len(data) < max(program, start + rest):
        raise ExportError(
            f"{name} is cut off: {max(program, start + rest):,} bytes were written and "
            f"{len(data):,} are there"
        )


def _graph(payload: bytes) -> dict[str, Any]:
    """A piece's flatbuffer as JSON, its floats as the integers of their bits: text rounds them."""
    from executorch.backends.xnnpack import serialization
    from executorch.backends.xnnpack.serialization.xnnpack_graph_serialize import XNNHeader
    from executorch.exir._serialize._flatbuffer import _flatc_decompile

    header = XNNHeader.from_bytes(payload[: XNNHeader.EXPECTED_LENGTH])
    start, size = header.flatbuffer_offset, header.flatbuffer_size
    schema = files(serialization).joinpath("schema.fbs").read_text()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        schema_path, path = folder / "schema.fbs", folder / "piece.bin"
        schema_path.write_text(schema.replace(":float;", ":uint;").replace(": float;", ": uint;"))
        path.write_bytes(payload[start : start + size])
        _flatc_decompile(name, str(schema_path), str(path), ["--raw-binary"])
        graph: dict[str, Any] = json.loads((folder / "piece.json").read_text())
    return graph


def _nodes(graph: dict[str, Any], constants: Mapping[str, bytes]) -> list[Node]:
    values: dict[int, Value] = {}
    for entry in graph["xvalues"]:
        union = entry["xvalue_union"]
        tensor = union.get("tensor_value", union)
        values[tensor["id_out"]] = _value(graph, tensor, union.get("quant_params"), constants)
    nodes = []
    for entry in graph["xnodes"]:
        union = entry["xnode_union"]
        read = [v for k, v in union.items() if k.startswith("input") and k.endswith("_id")]
        output = union.get("output_id", union.get("output_value_id"))
        weight = values[union["filter_id"]] if "filter_id" in union else None
        kind = entry["xnode_union_type"].removeprefix("XNN")
        inputs = tuple(values[index] for index in read if index in values)
        nodes.append(Node(kind, inputs, values[output], weight))
    return nodes


def _value(
    graph: dict[str, Any],
    tensor: dict[str, Any],
    quantization: dict[str, Any] | None,
    constants: Mapping[str, bytes],
) -> Value:
    kind = tensor["datatype"].removeprefix("xnn_datatype_")
    buffer = graph["constant_data"][tensor["constant_buffer_idx"]]
    if quantization is None or "num_nonbatch_dims" in quantization:
        return Value(kind, size_bytes=buffer["size"])
    if "scale_buffer_idx" in quantization:
        key = graph["constant_data"][quantization["scale_buffer_idx"]]["named_key"]
        return Value(kind, bytes(constants[key]), 0, buffer["size"])
    scale = np.uint32(quantization["scale"]).tobytes()
    return Value(kind, scale, quantization["zero_point"], buffer["size"])
