"""Reads an int8 `.tflite` file: every size is checked before it is used."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from lilliput.core import ExportError, MissingExtraError, UnsupportedError
from lilliput.export.c.floats import with_float_functions, without_float_ends
from lilliput.export.c.network import Network, Operator, Tensor
from lilliput.export.format import Array
from lilliput.export.litert.file import constant, kinds, read

__all__ = ["read_network"]

_MOST_BYTES = 1 << 28
"""Of a tensor; no microcontroller holds a thousandth of it."""
_LONGEST = (1 << 15) - 1
"""Of an axis: kernels count in 16 bits."""
# tensor type codes of the schema, in numpy's names
_TYPES = {0: "float32", 1: "float16", 2: "int32", 3: "uint8", 4: "int64", 6: "bool", 7: "int16"}
_TYPES |= {9: "int8", 10: "float64", 15: "uint32", 16: "uint16", 17: "int4"}
_HAVE_A_STATE = {
    "ASSIGN_VARIABLE",
    "BIDIRECTIONAL_SEQUENCE_LSTM",
    "BIDIRECTIONAL_SEQUENCE_RNN",
    "CALL_ONCE",
    "LSTM",
    "READ_VARIABLE",
    "RNN",
    "SVDF",
    "UNIDIRECTIONAL_SEQUENCE_LSTM",
    "UNIDIRECTIONAL_SEQUENCE_RNN",
    "VAR_HANDLE",
}
_RUN_GRAPHS = {"CALL", "IF", "STABLEHLO_WHILE", "WHILE"}
_QUANTIZE = (
    "quantize it whole first: lp.QuantizeStatic for a PyTorch network, or full-integer "
    "quantization with a representative dataset in TensorFlow"
)


def read_network(path: Path) -> Network:
    """The network of a file; float ends are left out, so that it begins and ends with int8.

    Raises:
        MissingExtraError: The package that knows the schema is not installed.
        ExportError: The file is missing, cut off or damaged, or no LiteRT file.
        UnsupportedError: The network is not int8 throughout, or its shapes are not fixed.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ExportError(f"cannot read {path}: {error.strerror or error}") from error
    try:
        model = read(data, path.name)
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"reading {path.name} needs ai-edge-litert ({error}); pip install 'lilliput[litert]'"
        ) from error
    graph = model.subgraphs[0]
    tensors = tuple(_tensor(model, tensor, place) for place, tensor in enumerate(graph.tensors))
    operators = tuple(
        Operator(place, kind, _indices(operator.inputs), _outputs(operator), _options(operator))
        for place, (kind, operator) in enumerate(
            zip(kinds(model, graph), graph.operators, strict=True)
        )
    )
    found = Network(tensors, operators, _given(graph.inputs), _given(graph.outputs))
    _check_runs_once(found)
    network = with_float_functions(without_float_ends(found))
    _check_order(network)
    _check_types(network)
    return network


def _tensor(model: Any, tensor: Any, place: int) -> Tensor:
    name = (tensor.name or b"").decode("utf-8", "replace") or f"tensor {place}"
    shape = tuple(int(size) for size in (tensor.shape if tensor.shape is not None else ()))
    signature = tensor.shapeSignature if tensor.shapeSignature is not None else ()
    if any(int(size) < 0 for size in signature[1:]):
        raise UnsupportedError(f"tensor {name!r} has no fixed shape; export it for one example")
    if any(size < 0 for size in shape) or math.prod(shape) > _MOST_BYTES:
        raise UnsupportedError(f"tensor {name!r} has the shape {list(shape)}")
    dtype = _TYPES.get(tensor.type, f"type {tensor.type}")
    parameters = tensor.quantization
    scales = np.asarray([], np.float32)
    zero_points: tuple[int, ...] = ()
    if parameters is not None and parameters.scale is not None:
        scales = np.asarray(parameters.scale, np.float32)
        zeros = parameters.zeroPoint if parameters.zeroPoint is not None else [0] * len(scales)
        zero_points = tuple(int(z) for z in zeros)
        if len(zero_points) != len(scales):
            raise ExportError(
                f"tensor {name!r} has {len(scales)} scales and {len(zero_points)} zero points"
            )
        if not np.isfinite(scales).all() or (scales <= 0).any():
            raise ExportError(f"tensor {name!r} has a scale that is not above 0")
    axis = int(parameters.quantizedDimension) if parameters is not None else 0
    return Tensor(
        name, shape, dtype, _values(model, tensor, shape, dtype), scales, zero_points, axis
    )


def _values(model: Any, tensor: Any, shape: tuple[int, ...], dtype: str) -> Array | None:
    held = constant(model, tensor)
    if not len(held):
        return None
    if dtype.startswith("type"):
        raise UnsupportedError(f"a constant has an unknown {dtype}")
    if dtype == "int4":
        nibbles = np.stack([held << 4, held & 0xF0], -1).view(np.int8).reshape(-1) >> 4
        if not 0 <= len(nibbles) - math.prod(shape) <= 1:
            raise ExportError(f"a constant of shape {list(shape)} has {len(held):,} bytes")
        return nibbles[: math.prod(shape)].reshape(shape)
    return held.view(dtype).reshape(shape)


def _indices(values: Any) -> tuple[int | None, ...]:
    return tuple(None if int(v) < 0 else int(v) for v in (values if values is not None else ()))


def _given(values: Any) -> tuple[int, ...]:
    return tuple(index for index in _indices(values) if index is not None)


def _outputs(operator: Any) -> tuple[int, ...]:
    found = _given(operator.outputs)
    if not found:
        raise ExportError("an operator gives nothing")
    return found


def _options(operator: Any) -> dict[str, Any]:
    return dict(vars(operator.builtinOptions)) if operator.builtinOptions is not None else {}


def _check_runs_once(network: Network) -> None:
    """No operator is a loop, or remembers what was."""
    for operator in network.operators:
        if operator.kind in _HAVE_A_STATE | _RUN_GRAPHS:
            does = "keeps a state" if operator.kind in _HAVE_A_STATE else "runs another graph"
            raise UnsupportedError(
                f"{operator} {does}, which C is not made of; write the steps out, as litert-torch "
                "does with nn.LSTM and nn.GRU, and Keras with unroll=True"
            )


def _check_order(network: Network) -> None:
    """Each tensor is made once, before it is read."""
    known = {*network.inputs}
    known |= {index for index, tensor in enumerate(network.tensors) if tensor.data is not None}
    for operator in network.operators:
        for index in operator.inputs:
            if index is not None and index not in known:
                raise ExportError(f"{operator} reads tensor {index} before anything makes it")
        for index in operator.outputs:
            if index in known:
                raise ExportError(f"{operator} makes tensor {index}, which is there already")
            known.add(index)
    missing = [index for index in network.outputs if index not in known]
    if missing:
        raise ExportError(f"nothing makes the output, tensor {missing[0]}")


def _check_types(network: Network) -> None:
    for operator in network.operators:
        for index in (*operator.inputs, *operator.outputs):
            tensor = network.tensors[index] if index is not None else None
            if tensor is not None:
                _check_numbers(operator, tensor)
            if tensor is None or (tensor.data is not None and tensor.dtype != "float32"):
                continue
            if tensor.count < 1 or max(tensor.shape, default=1) > _LONGEST:
                raise UnsupportedError(f"{operator}: {tensor.name!r} is {list(tensor.shape)}")
            if tensor.dtype != "int8" or not len(tensor.scales):
                raise UnsupportedError(
                    f"{operator} computes with {tensor.dtype} ({tensor.name!r}): this is "
                    f"{_kind_of(network)}; {_QUANTIZE}"
                )


def _check_numbers(operator: Operator, tensor: Tensor) -> None:
    """What the C holds in 16 bits fits there."""
    if tensor.dtype != "int8":
        return
    if any(not -128 <= zero <= 127 for zero in tensor.zero_points):
        raise ExportError(f"{operator}: {tensor.name!r} is int8 around {tensor.zero_points}")
    if len(tensor.shape) > 2 and max(tensor.shape) > _LONGEST:
        raise UnsupportedError(f"{operator}: {tensor.name!r} is {list(tensor.shape)}")


def _kind_of(network: Network) -> str:
    """What a file with floats inside is."""
    integers = [tensor for tensor in network.tensors if tensor.dtype == "int8"]
    if not integers:
        return "a float file, not an int8 one"
    if all(tensor.data is not None for tensor in integers):
        return "a dynamic-range file, not an int8 one"
    return "an int8 file with floats inside"
