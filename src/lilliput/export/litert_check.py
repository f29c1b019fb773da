"""Whether a LiteRT file runs in integers where the network has quantizers, with their scales.

Without it a converter that leaves quantize and dequantize apart gives a float file that merely
looks quantized, and nothing says so.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from torch import fx

from lilliput.core import ExportError, QuantizationRules
from lilliput.export.litert_file import constant, kinds
from lilliput.graph import operator_of
from lilliput.quantize.fake import FakeQuantize

__all__ = ["check_scales"]

_FLOAT, _INT8, _INT16 = 0, 9, 7
# (scale, zero point) of outputs the runtime itself fixes.
# Source: LiteRT 8-bit quantization specification, LOGISTIC, SOFTMAX, TANH, L2_NORMALIZATION,
# LOG_SOFTMAX.
_FIXED = {(1 / 256, -128), (1 / 128, 0), (16 / 256, 127)}

Grid = tuple[bytes, int]


def check_scales(module: fx.GraphModule, file: Any, rules: QuantizationRules | None) -> None:
    """Compares the scales of the file with those of the network's quantizers.

    Args:
        module: The captured network with its quantizers.
        file: The file as `ModelT` objects.
        rules: Say which operators are to run in integers.

    Raises:
        ExportError: A scale was lost or is not ours, or an operator runs in floats; names it.
    """
    graph = file.subgraphs[0]
    held = {_grid_of(tensor) for tensor in graph.tensors if _is_integer(tensor)}
    made = _made_in_integers(file)
    ours: set[Grid] = set()
    for node, quantizer in _quantizers(module):
        grid = _grid(quantizer.scale.detach().numpy(), quantizer.zero_point.numpy())
        ours.add(grid)
        if not _is_among(grid, held):
            raise ExportError(f"the file lost the scale of {node.target!r}: it would run in floats")
        source = node.args[0]
        if rules and isinstance(source, fx.Node):
            name = _operator(source, rules)
            if name in rules.quantized_operators and not _is_among(grid, made):
                raise ExportError(f"{source.name!r} ({name}) would run in floats in the file")
    for tensor in graph.tensors:
        if not _is_integer(tensor) or _is_fixed(tensor):
            continue
        if not _is_among(_grid_of(tensor), ours):
            name = tensor.name.decode() if tensor.name else "a tensor"
            raise ExportError(f"{name!r} has a scale in the file that no quantizer has")


def _quantizers(module: fx.GraphModule) -> Iterable[tuple[fx.Node, FakeQuantize]]:
    for node in module.graph.nodes:
        part = module.get_submodule(str(node.target)) if node.op == "call_module" else None
        if isinstance(part, FakeQuantize) and part.is_enabled:
            yield node, part


def _operator(node: fx.Node, rules: QuantizationRules) -> str:
    """What runs at a node, the activation it absorbs looked through."""
    name = operator_of(node)
    before = node.args[0] if node.args else None
    if name in rules.fused_activations and isinstance(before, fx.Node):
        return operator_of(before)
    return name


def _grid(scale: Any, zero_point: Any) -> Grid:
    points = np.asarray(zero_point, np.int64).ravel()
    return np.asarray(scale, np.float32).ravel().tobytes(), int(points[0])


def _grid_of(tensor: Any) -> Grid:
    return _grid(tensor.quantization.scale, tensor.quantization.zeroPoint)


def _is_among(grid: Grid, grids: set[Grid]) -> bool:
    """Whether a grid is one of those, the last bit of a scale aside."""
    if grid in grids:
        return True
    scale, point = np.frombuffer(grid[0], np.float32), grid[1]
    others = (
        np.frombuffer(s, np.float32) for s, p in grids if p == point and len(s) == len(grid[0])
    )
    return any(np.allclose(scale, other, rtol=1e-6, atol=0) for other in others)


def _is_integer(tensor: Any) -> bool:
    """Whether it holds quantized numbers; biases have their scale from input and weight."""
    has_scale = tensor.quantization is not None and tensor.quantization.scale is not None
    return has_scale and tensor.type in {_INT8, _INT16}


def _is_fixed(tensor: Any) -> bool:
    quantization = tensor.quantization
    return (float(quantization.scale[0]), int(quantization.zeroPoint[0])) in _FIXED


def _made_in_integers(file: Any) -> set[Grid]:
    """Grids of constants, inputs, and outputs of operators that saw no float."""
    graph = file.subgraphs[0]
    made = set()
    from_floats: set[int] = set()
    for kind, operator in zip(kinds(file, graph), graph.operators, strict=True):
        source = graph.tensors[operator.inputs[0]]
        if kind == "QUANTIZE" and source.type == _FLOAT:
            from_floats.update(int(index) for index in operator.outputs)
    for index, tensor in enumerate(graph.tensors):
        if _is_integer(tensor) and index not in from_floats and not len(constant(file, tensor)):
            made.add(_grid_of(tensor))
    return made
