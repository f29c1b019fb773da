"""Weights in fewer bytes inside a converted LiteRT file.

The converter makes integers of what stands between quantize/dequantize pairs. Weights whose
activations are floats it leaves float, and of few bits it knows bytes only; here such constants
take the form that the runtime has for them, and the numbers stay the same.

Source: tensorflow/compiler/mlir/lite/schema/schema.fbs, version 3; two four-bit codes lie in a
byte, the first in the lower half.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import fx

from lilliput.core import ExportError, QuantizationRules
from lilliput.export.format import Array
from lilliput.export.litert.file import constant, kinds
from lilliput.export.lower_weights import codes_of
from lilliput.quantize.placing.scheme import Weighted, kernel_of, weighted_operators

__all__ = [
    "drop_unused",
    "halve_floats",
    "narrow_floats",
    "narrow_weights",
    "pack_codes",
    "widen_biases",
]

_FLOAT32, _FLOAT16, _INT8, _INT4, _INT16, _INT32, _INT64 = 0, 1, 9, 17, 7, 2, 4
_CHANNEL_AXIS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0, "TRANSPOSE_CONV": 0}
_DEQUANTIZE, _DEQUANTIZE_VERSION = 6, {_INT8: 2, _FLOAT16: 3, _INT4: 6}


def pack_codes(codes: Array) -> Array:
    """Codes from -8 to 7 in half a byte each."""
    halves = codes.astype(np.int8).ravel().view(np.uint8) & 15
    halves = np.pad(halves, (0, -halves.size % 2))
    return np.asarray(halves[0::2] | (halves[1::2] << 4), np.uint8)


def narrow_weights(file: Any, rules: QuantizationRules) -> None:
    """Stores bytes that hold four bits as four bits, for operators that read them natively."""
    graph = file.subgraphs[0]
    if not any(4 in kernel.weight_bits for kernel in rules.kernels_of("linear", "static")):
        return
    for kind, operator in zip(kinds(file, graph), graph.operators, strict=True):
        tensor = graph.tensors[operator.inputs[1]] if kind == "FULLY_CONNECTED" else None
        if tensor is None or tensor.type != _INT8 or tensor.shape[-1] % 2:
            continue
        codes = constant(file, tensor).view(np.int8)
        if codes.size and codes.min() >= -8 and codes.max() <= 7:
            _hold(file, tensor, pack_codes(codes), _INT4)


def widen_biases(file: Any) -> None:
    """Makes biases beside activations of 16 bits 64 bits wide, as the runtime wants them."""
    graph = file.subgraphs[0]
    for kind, operator in zip(kinds(file, graph), graph.operators, strict=True):
        if kind not in _CHANNEL_AXIS or graph.tensors[operator.inputs[0]].type != _INT16:
            continue
        for index in operator.inputs[2:]:
            bias = graph.tensors[index]
            if index >= 0 and bias.type == _INT32:
                codes = constant(file, bias).view(np.int32).astype(np.int64)
                _hold(file, bias, codes.view(np.uint8), _INT64)


def _hold(file: Any, tensor: Any, data: Array, type_: int) -> None:
    """Gives a tensor a constant of its own: several may share a buffer."""
    from ai_edge_litert import schema_py_generated as schema

    buffer = schema.BufferT()
    buffer.data = data
    file.buffers.append(buffer)
    tensor.buffer, tensor.type = len(file.buffers) - 1, type_


def narrow_floats(file: Any, module: fx.GraphModule, rules: QuantizationRules | None) -> None:
    """Gives quantized weights that the converter left float their integers.

    Args:
        file: Of the network whose weights lie on their quantizers' grids; changed in place.
        module: The captured network with its quantizers.
        rules: Of the target.

    Raises:
        ExportError: A weight is not to be found in the file.
    """
    weights = {
        found.layer: _Weight.of(module, found, rules)
        for found in weighted_operators(module)
        if found.scheme != "static" and found.operator != "embedding"
    }
    graph = file.subgraphs[0]
    narrow: dict[tuple[int, bool], int] = {}
    seen = set()
    for kind, operator in list(zip(kinds(file, graph), graph.operators, strict=True)):
        place = 1
        if kind not in _CHANNEL_AXIS or operator.inputs[place] < 0:
            continue
        index = int(operator.inputs[place])
        for weight in weights.values():
            codes = weight.in_layout(file, graph.tensors[index], kind)
            if codes is None:
                continue
            seen.add(weight.layer)
            key = index, weight.is_dynamic
            if key not in narrow:
                narrow[key] = _add_codes(file, graph, weight, codes, _CHANNEL_AXIS[kind])
                if not weight.is_dynamic:
                    _widen_to(file, graph, narrow[key], index)
            if weight.is_dynamic:
                inputs = np.array(operator.inputs)
                inputs[place] = narrow[key]
                operator.inputs = inputs
                operator.builtinOptions.asymmetricQuantizeInputs = True
            break
    missing = [layer for layer in weights if layer not in seen]
    if missing:
        raise ExportError(f"the file does not show the weight of {missing[0]!r}: it stays float")
    drop_unused(file)


@dataclass(frozen=True, eq=False)
class _Weight:
    """A quantized weight of the network: its values and their codes in PyTorch's layout."""

    layer: str
    real: Array
    codes: Array
    scale: Array
    bits: int
    is_dynamic: bool

    @staticmethod
    @torch.no_grad()
    def of(module: fx.GraphModule, found: Weighted, rules: QuantizationRules | None) -> "_Weight":
        call = next(n for n in found.node.all_input_nodes if "is_weight" in n.meta)
        value = found.quantizer(_tensor(module, str(call.all_input_nodes[0].target)))
        kernel = kernel_of(found, rules) if rules else None
        bits = found.quantizer.type.bits
        return _Weight(
            found.layer,
            value.numpy(),
            codes_of(value, found.quantizer).numpy(),
            found.quantizer.scale.detach().numpy(),
            kernel.stored(bits) if kernel else 8,
            found.scheme == "dynamic",
        )

    def in_layout(self, file: Any, tensor: Any, kind: str) -> Array | None:
        """The codes as an operator of that kind holds them; None where it holds another weight."""
        data = constant(file, tensor)
        if tensor.type != _FLOAT32 or data.size != 4 * self.real.size:
            return None
        held = data.view(np.float32).reshape([int(size) for size in tensor.shape])
        for turned in _layouts(self.real.ndim, kind):
            real = self.real.transpose(turned)
            if np.array_equal(real.reshape(held.shape), held):
                return np.ascontiguousarray(self.codes.transpose(turned)).reshape(held.shape)
        return None


def _layouts(dimensions: int, kind: str) -> Iterator[tuple[int, ...]]:
    """How PyTorch's axes may lie in the file."""
    if dimensions == 2:
        yield (0, 1)
    elif dimensions == 3:
        yield (1, 2, 0) if kind == "DEPTHWISE_CONV_2D" else (0, 2, 1)
    elif kind == "DEPTHWISE_CONV_2D":
        yield (1, 2, 3, 0)
    else:
        yield (1, 2, 3, 0) if kind == "TRANSPOSE_CONV" else (0, 2, 3, 1)


def _add_codes(file: Any, graph: Any, weight: _Weight, codes: Array, axis: int) -> int:
    """A constant of integers with the quantizer's scale; gives its index."""
    from ai_edge_litert import schema_py_generated as schema

    is_half = weight.bits == 4
    quantization = schema.QuantizationParametersT()
    quantization.scale = weight.scale.astype(np.float32)
    quantization.zeroPoint = np.zeros(weight.scale.size, np.int64)
    quantization.quantizedDimension = axis if weight.scale.size > 1 else 0
    data = pack_codes(codes) if is_half else codes.astype(np.int8).view(np.uint8).ravel()
    index = _add_constant(file, graph, data, codes.shape, _INT4 if is_half else _INT8)
    graph.tensors[index].quantization = quantization
    return index


def _add_constant(file: Any, graph: Any, data: Array, shape: tuple[int, ...], type_: int) -> int:
    from ai_edge_litert import schema_py_generated as schema

    buffer = schema.BufferT()
    buffer.data = data
    file.buffers.append(buffer)
    tensor = schema.TensorT()
    tensor.shape, tensor.type = np.array(shape, np.int32), type_
    tensor.buffer, tensor.name, tensor.isVariable = len(file.buffers) - 1, b"", False
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def _widen_to(file: Any, graph: Any, narrow: int, wide: int) -> None:
    """Fills a constant's place from a narrower one, with a DEQUANTIZE before all else."""
    from ai_edge_litert import schema_py_generated as schema

    version = _DEQUANTIZE_VERSION[graph.tensors[narrow].type]
    codes = [(code.builtinCode, code.version) for code in file.operatorCodes]
    if (_DEQUANTIZE, version) not in codes:
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = _DEQUANTIZE
        code.version = version
        file.operatorCodes.append(code)
        codes.append((_DEQUANTIZE, version))
    operator = schema.OperatorT()
    operator.opcodeIndex = codes.index((_DEQUANTIZE, version))
    operator.inputs, operator.outputs = np.array([narrow], np.int32), np.array([wide], np.int32)
    graph.operators.insert(0, operator)
    file.buffers.append(schema.BufferT())
    graph.tensors[wide].buffer = len(file.buffers) - 1


def halve_floats(file: Any) -> None:
    """Stores weights that half precision holds without loss in half the bytes."""
    graph = file.subgraphs[0]
    done: set[int] = set()
    for kind, operator in list(zip(kinds(file, graph), graph.operators, strict=True)):
        place = {"EMBEDDING_LOOKUP": 1, "BATCH_MATMUL": 1, **dict.fromkeys(_CHANNEL_AXIS, 1)}.get(
            kind
        )
        index = int(operator.inputs[place]) if place is not None else -1
        if index < 0 or index in done or graph.tensors[index].type != _FLOAT32:
            continue
        real = constant(file, graph.tensors[index]).view(np.float32)
        half = real.astype(np.float16) if real.size and np.abs(real).max() < 65504 else real
        if real.size > _FEWEST and half.dtype == np.float16 and np.array_equal(half, real):
            shape = tuple(int(size) for size in graph.tensors[index].shape)
            narrow = _add_constant(file, graph, half.view(np.uint8), shape, _FLOAT16)
            _widen_to(file, graph, narrow, index)
            done.add(index)
    drop_unused(file)


_FEWEST = 100
"""Another tensor and its DEQUANTIZE take about 150 bytes."""


def drop_unused(file: Any) -> None:
    """Empties constants that no tensor in use holds any more."""
    graph = file.subgraphs[0]
    used = {int(i) for operator in graph.operators for i in operator.inputs if i >= 0}
    used |= {int(i) for i in [*graph.outputs, *graph.inputs]}
    kept = {graph.tensors[i].buffer for i in used} | {n.buffer for n in file.metadata or []}
    for index, buffer in enumerate(file.buffers):
        if index not in kept:
            buffer.data = None


def _tensor(module: fx.GraphModule, name: str) -> torch.Tensor:
    owner, _, leaf = name.rpartition(".")
    value: torch.Tensor = getattr(module.get_submodule(owner), leaf)
    return value.detach()
