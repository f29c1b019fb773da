"""Published int8 files with weights of few bits or values, or mostly zero."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np

from lilliput.export.format import Array
from lilliput.export.litert.file import constant, kinds, read

_Codes = tuple[Array, float]


def of_4_bits(weights: Array) -> _Codes:
    """Whole numbers from -7 to 7, the last ones at three standard deviations."""
    step = 3 * float(weights.std()) / 7
    return np.clip(np.round(weights / step), -7, 7), step


def of_16_values(weights: Array) -> _Codes:
    """The medians of sixteen equal shares, to the nearest one."""
    values = np.round(np.quantile(weights, (np.arange(16) + 0.5) / 16))
    nearest = np.abs(weights[..., None].astype(int) - values).argmin(-1)
    return values[nearest], 1.0


def with_90_percent_zeros(weights: Array) -> _Codes:
    """Each filter keeps the tenth of its weights that is largest."""
    rows = np.abs(weights.reshape(len(weights), -1).astype(int))
    least = np.sort(rows, axis=1)[:, -max(1, rows.shape[1] // 10), None]
    return np.where(rows < least, 0, weights.reshape(rows.shape)), 1.0


WAYS: dict[str, Callable[[Array], _Codes]] = {
    "4-bit": of_4_bits,
    "16-values": of_16_values,
    "90-percent-zeros": with_90_percent_zeros,
}
"""How weights change: the new codes, and how many old steps are a new one."""


def changed(path: Path, name: str) -> bytes:
    """The file with convolutions and dense layers changed in one of `WAYS`, the rest as it was."""
    file = read(path.read_bytes(), path.name)
    graph = file.subgraphs[0]
    for kind, operator in zip(kinds(file, graph), graph.operators, strict=True):
        if kind in {"CONV_2D", "FULLY_CONNECTED"}:
            weights, bias = (graph.tensors[index] for index in operator.inputs[1:3])
            codes = np.asarray(constant(file, weights)).view(np.int8).reshape(weights.shape)
            codes, step = WAYS[name](codes)
            _hold(file, weights, codes.astype(np.int8), step)
            sums = np.asarray(constant(file, bias)).view(np.int32)
            _hold(file, bias, np.round(sums / step).astype(np.int32), step)
    builder = flatbuffers.Builder()
    builder.Finish(file.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _hold(file: Any, tensor: Any, values: Array, step: float) -> None:
    """New values of a larger scale."""
    file.buffers[tensor.buffer].data = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
    tensor.quantization.scale = np.asarray(tensor.quantization.scale, np.float32) * step
