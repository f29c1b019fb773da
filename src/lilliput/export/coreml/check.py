"""Whether a written Core ML package has the network's scales, zero points, codes and values."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from lilliput.core import ExportError
from lilliput.export.coreml.package import unpack
from lilliput.export.coreml.weights import NarrowWeight
from lilliput.export.format import Array
from lilliput.export.quiet import quiet
from lilliput.quantize.numbers.fake import quantizers

__all__ = ["check"]

Grid = tuple[float, int, str]


def check(data: bytes, module: nn.Module, weights: Sequence[NarrowWeight]) -> None:
    """Reads the file back by the converter's own reader, and compares.

    Args:
        data: The zip.
        module: The network, its weights' quantizers spelled out.
        weights: What they were.

    Raises:
        ExportError: Something is not the network's; names it.
    """
    operators = list(_operators(data))
    ours = {
        (float(part.scale), int(part.zero_point), "int8" if part.type.is_signed else "uint8"): name
        for name, part in quantizers(module).items()
    }
    for kind in ("quantize", "dequantize"):
        theirs = {_grid(operator) for operator in operators if operator.op_type == kind}
        lost = [name for grid, name in ours.items() if grid not in theirs]
        if lost:
            raise ExportError(f"the file lost the scale of {lost[0]!r}: it would run in floats")
        if theirs - set(ours):
            raise ExportError(f"the file has a scale that is not ours: {min(theirs - set(ours))}")
    held = {_key(*parts) for operator in operators if (parts := _parts(operator))}
    shown = {_numbers(weight) for weight in weights if _is_among(weight, held)}
    for weight in weights:
        # of two forms of the same numbers, all zeros say, the file needs one
        if _numbers(weight) not in shown:
            raise ExportError(f"the file does not hold the weight of {weight.name!r} as it is")
    if len(held) > len(weights):
        raise ExportError(f"the file holds {len(held)} narrow weights instead of {len(weights)}")


def _numbers(weight: NarrowWeight) -> tuple[object, ...]:
    return weight.real.shape, (weight.real + np.float32(0)).tobytes()


def _is_among(weight: NarrowWeight, held: set[tuple[object, ...]]) -> bool:
    turns = [tuple(range(weight.real.ndim)), *([(1, 0)] if weight.real.ndim == 2 else [])]
    return any(_key(*weight.parts(axes)) in held for axes in turns)


def _operators(data: bytes) -> Iterator[Any]:
    from coremltools import utils
    from coremltools.converters.mil.frontend.milproto.load import load

    with tempfile.TemporaryDirectory() as folder, quiet():
        file = Path(folder) / "written.zip"
        file.write_bytes(data)
        package = unpack(file, Path(folder))
        spec = utils.load_spec(str(package))
        weights = package / "Data" / "com.apple.CoreML" / "weights"
        program = load(spec, spec.specificationVersion, str(weights))
    yield from program.functions["main"].operations


def _grid(operator: Any) -> Grid:
    from coremltools.converters.mil.mil import types

    codes = operator.outputs[0] if operator.op_type == "quantize" else operator.input
    zero_point = int(operator.zero_point.val) if operator.zero_point is not None else 0
    return float(operator.scale.val), zero_point, types.builtin_to_string(codes.dtype)


def _parts(operator: Any) -> tuple[Array, Array] | None:
    if operator.op_type == "constexpr_lut_to_dense":
        return operator.indices.val, operator.lut.val
    if operator.op_type == "constexpr_blockwise_shift_scale":
        return operator.data.val, operator.scale.val
    return None


def _key(codes: Array, values: Array) -> tuple[object, ...]:
    small = np.ascontiguousarray(codes).astype(np.int16)
    wide = np.ascontiguousarray(values, np.float32)
    return codes.shape, small.tobytes(), values.shape, wide.tobytes()
