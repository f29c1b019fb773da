"""ONNX files, run by OpenVINO on the processor; running them needs the extra `openvino`."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lilliput.core import ExportError, MissingExtraError, Model, Target
from lilliput.export.format import Array, Predictor, TensorSpec, in_batches, write_bytes
from lilliput.export.onnx.dialect import Dialect
from lilliput.export.onnx.format import encode, run_exposed

__all__ = ["OpenVino", "OpenVinoPredictor"]

_READS = Dialect(fewest_bits=4, folds_rows=False)
"""Source: OpenVINO 2026.4.1: "Unsupported type" for INT2 and UINT2; GatherElements stays."""


@dataclass(frozen=True)
class OpenVino:
    """`.onnx` files as for ONNX Runtime, in the types that OpenVINO reads."""

    suffix: str = ".onnx"

    def write(self, model: Model, path: Path, target: Target | None, /) -> None:  # noqa: ARG002
        """Traces, converts, strips what only costs bytes, checks and writes."""
        write_bytes(path, encode(model, _READS))

    def load(self, path: Path, threads: int, /) -> Predictor:
        """Compiles the file for the processor."""
        return OpenVinoPredictor(path, threads)

    def intermediates(self, path: Path, inputs: tuple[Array, ...], /) -> list[Array]:
        """Runs a copy of the file whose activations are outputs, integers dequantized."""
        return run_exposed(path, inputs, lambda content: OpenVinoPredictor(content, 1))


class OpenVinoPredictor:
    """A model compiled for the processor, with so many threads.

    What takes any number of examples is compiled for one, which is faster, and for any number
    when another number comes.

    Floats are 32 bits wide: left alone the runtime would compute with bfloat16 where the processor
    can, and round activations to bytes before products with integer weights, and not say so.

    Raises:
        ExportError: The file is missing, truncated, or no ONNX.
        MissingExtraError: OpenVINO is not installed.
    """

    def __init__(self, model: Path | bytes, threads: int) -> None:
        try:
            import openvino
        except ImportError as error:
            raise MissingExtraError(
                f"running files by OpenVINO needs openvino ({error}); "
                "pip install 'lilliput[openvino]'"
            ) from error
        self._settings = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,  # the core it would choose may be busy
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0,
        }
        self._core = openvino.Core()
        content = io.BytesIO(model) if isinstance(model, bytes) else str(model)
        try:
            self._model = self._core.read_model(content)
            self.compiled = self._compile(_for_one(self._model))
        except Exception as error:
            name = f"{len(model):,} bytes" if isinstance(model, bytes) else str(model)
            raise ExportError(f"{name} is no file that OpenVINO runs: {_reason(error)}") from error
        self.inputs = tuple(_spec(port) for port in self._model.inputs)
        self.outputs = tuple(_spec(port) for port in self._model.outputs)
        self._batch = self.inputs[0].shape[0] if self.inputs and self.inputs[0].shape else None
        self._for_any: Any = None

    def __call__(self, inputs: tuple[Array, ...], /) -> tuple[Array, ...]:
        count = len(inputs[0])
        if self._batch is not None and count != self._batch:
            return in_batches(lambda batch: self._run(self.compiled, batch), inputs, self._batch)
        if self._batch is not None or count == 1:
            return self._run(self.compiled, inputs)
        if self._for_any is None:
            self._for_any = self._compile(self._model)
        return self._run(self._for_any, inputs)

    def _compile(self, model: Any) -> Any:
        return self._core.compile_model(model, "CPU", self._settings)

    def _run(self, compiled: Any, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
        feeds = [
            np.ascontiguousarray(array, spec.dtype)
            for spec, array in zip(self.inputs, inputs, strict=True)
        ]
        found = compiled(feeds)
        return tuple(np.array(found[index]) for index in range(len(self.outputs)))


def _for_one(model: Any) -> Any:
    """A copy for one example of a model that takes any number of them; others as they are."""
    shapes = {port: port.partial_shape for port in model.inputs}
    if not all(len(shape) and shape[0].is_dynamic for shape in shapes.values()):
        return model
    one = model.clone()
    sizes = {port: [1, *list(port.partial_shape)[1:]] for port in one.inputs}
    one.reshape(sizes)
    return one


def _reason(error: Exception) -> str:
    """The last line, which says what; those before it say where in the runtime."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _spec(port: Any) -> TensorSpec:
    shape = tuple(None if size.is_dynamic else size.get_length() for size in port.partial_shape)
    return TensorSpec(port.any_name, shape, np.dtype(port.element_type.to_dtype()).name)
