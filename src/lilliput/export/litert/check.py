"""Whether a LiteRT file runs in integers where the network has quantizers, with their scales.

Without it a converter that leaves quantize and dequantize apart gives a float file that merely
looks quantized, and nothing says so.
"""

from typing import Any

import numpy as np
from torch import fx

from lilliput.core import ExportError, QuantizationRules
from lilliput.export.integers import Integers
from lilliput.export.litert.file import constant, kinds
from lilliput.quantize.placing.open_layers import WITH_WEIGHT

__all__ = ["check_scales"]

_FLOAT, _INT8, _INT16 = 0, 9, 7
# (scale, zero point) of outputs the runtime itself fixes.
# Source: LiteRT 8-bit quantization specification, LOGISTIC, SOFTMAX, TANH, L2_NORMALIZATION,
# LOG_SOFTMAX.
_FIXED = {(1 / 256, -128), (1 / 128, 0), (16 / 256, 127)}

Grid = tuple[bytes, int]


def check_scales(
    module: fx.GraphModule, file: Any, rules: QuantizationRules | None
) -> tuple[str, ...]:
    """Compares the scales of the file with those of the network's quantizers.

    Args:
        module: The captured network with its quantizers.
        file: The file as `ModelT` objects.
        rules: Say which operators are to run in integers.

    Returns:
        Operators without weights that run in floats though they read and give integers.

    Raises:
        ExportError: A scale was lost or is not ours, or a convolution or linear operator runs in
            floats; names it.
    """
    graph = file.subgraphs[0]
    held = {_grid_of(tensor) for tensor in graph.tensors if _is_integer(tensor)}
    made = _made_in_integers(file)
    integers = Integers(module, rules or QuantizationRules())
    makers = integers.makers() if rules else {}
    ours: set[Grid] = set()
    in_floats = []
    for node, quantizer in integers.quantizers():
        grid = _grid(quantizer.scale.detach().numpy(), quantizer.zero_point.numpy())
        ours.add(grid)
        if not _is_among(grid, held):
            raise ExportError(f"the file lost the scale of {node.target!r}: it would run in floats")
        kind = makers.get(node.all_input_nodes[0])
        if kind and not _is_among(grid, made):
            name = f"{node.all_input_nodes[0].name!r} ({kind})"
            if kind in WITH_WEIGHT:
                raise ExportError(f"{name} would run in floats in the file")
            in_floats.append(name)
    for tensor in graph.tensors:
        if not _is_integer(tensor) or _is_fixed(tensor):
            continue
        if not _is_among(_grid_of(tensor), ours):
            name = tensor.name.decode() if tensor.name else "a tensor"
            raise ExportError(f"{name!r} has a scale in the file that no quantizer has")
    return tuple(in_floats)


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
    """Grids of inputs, and of results of operators that saw no float.

    What only moves integers, with the scale they have, does not make them.
    """
    graph = file.subgraphs[0]
    from_floats: set[int] = set()
    for kind, operator in zip(kinds(file, graph), graph.operators, strict=True):
        read = [int(index) for index in operator.inputs if index >= 0]
        moved = {_grid_of(graph.tensors[index]) for index in from_floats.intersection(read)}
        is_first = kind == "QUANTIZE" and graph.tensors[read[0]].type == _FLOAT
        for index in operator.outputs:
            tensor = graph.tensors[index]
            if is_first or (_is_integer(tensor) and _grid_of(tensor) in moved):
                from_floats.add(int(index))
    return {
        _grid_of(tensor)
        for index, tensor in enumerate(graph.tensors)
        if _is_integer(tensor) and index not in from_floats and not len(constant(file, tensor))
    }
