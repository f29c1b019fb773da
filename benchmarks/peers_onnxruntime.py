"""ONNX Runtime's own `quantize_static`."""

import contextlib
import io
from pathlib import Path

import numpy as np
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

METHODS = {
    "MinMax": CalibrationMethod.MinMax,
    "Percentile": CalibrationMethod.Percentile,
    "Entropy": CalibrationMethod.Entropy,
}
_AT_ONCE = 64


class Images(CalibrationDataReader):
    """Gives one image at a time, of the range that is asked for."""

    def __init__(self, name: str, images: np.ndarray) -> None:
        self.name, self.images = name, images
        self.set_range(0, len(images))

    def __len__(self) -> int:
        return len(self.images)

    def set_range(self, start_index: int, end_index: int) -> None:
        self.left = iter(range(start_index, end_index))

    def get_next(self) -> dict[str, np.ndarray] | None:
        index = next(self.left, None)
        return None if index is None else {self.name: self.images[index : index + 1]}


def quantize(source: Path, path: Path, images: np.ndarray, method: str) -> None:
    """Writes the int8 file: unsigned activations, signed weights with a scale for each channel.

    Signed activations, its default, are slower than float on x86 and no more accurate.
    """
    import onnx

    prepared = path.with_name("prepared.onnx")
    quant_pre_process(str(source), str(prepared))
    name = onnx.load(prepared).graph.input[0].name
    at_once = max(count for count in range(1, _AT_ONCE + 1) if len(images) % count == 0)
    with contextlib.redirect_stdout(io.StringIO()):  # histograms print a line for each tensor
        quantize_static(
            str(prepared),
            str(path),
            Images(name, images),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=METHODS[method],
            # every activation of this many images is held at once; the ranges are of all images
            extra_options={"CalibStridedMinMax": at_once, "CalibPercentile": 99.999},
        )
