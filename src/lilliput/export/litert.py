"""LiteRT (TensorFlow Lite) files, run by its interpreter with XNNPACK; needs the extra `litert`."""

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lilliput.core import ExportError, MissingExtraError, Model, QuantizationRules
from lilliput.export.format import Array, Predictor, TensorSpec, in_batches, write_bytes
from lilliput.export.quiet import quiet
from lilliput.graph import trace

__all__ = ["Litert", "LitertPredictor"]


@dataclass(frozen=True)
class Litert:
    """`.tflite` files for one example, in the layout of the network's own `forward`."""

    suffix: str = ".tflite"

    def write(self, model: Model, path: Path, rules: QuantizationRules | None, /) -> None:  # noqa: ARG002
        """Converts for a batch of one, checks that scales were kept, and writes."""
        write_bytes(path, encode(model))

    def load(self, path: Path, threads: int, /) -> Predictor:
        """Opens an interpreter."""
        return LitertPredictor(path, threads)


def encode(model: Model) -> bytes:
    """The bytes of the file."""
    one = Model(model.module, tuple(x[:1] for x in model.example_inputs))
    trace(one, has_dynamic_batch=False)
    return _convert(one)


def _convert(model: Model) -> bytes:
    module = model.module.eval()
    names = argument_names(module, len(model.example_inputs))
    with quiet():
        try:
            import litert_torch
        except ImportError as error:
            raise MissingExtraError(
                f"exporting to LiteRT needs litert-torch ({error}); pip install 'lilliput[litert]'"
            ) from error
        try:
            kwargs = dict(zip(names, model.example_inputs, strict=True))
            converted = litert_torch.convert(module, sample_kwargs=kwargs)
            return bytes(converted.model_content())
        except Exception as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ExportError(f"{type(module).__name__} has no LiteRT form: {reason}") from error


def argument_names(module: torch.nn.Module, count: int) -> list[str]:
    """What `forward` calls its first `count` arguments."""
    parameters = inspect.signature(module.forward).parameters.values()
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD,)
    return [parameter.name for parameter in parameters if parameter.kind in kinds][:count]


class LitertPredictor:
    """An interpreter with XNNPACK and pinned threads; integers at the file's ends are hidden.

    Raises:
        ExportError: The file is missing, truncated, or no LiteRT file.
        MissingExtraError: The interpreter is not installed.
    """

    def __init__(self, path: Path, threads: int) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise MissingExtraError(
                f"running LiteRT files needs ai-edge-litert ({error}); "
                "pip install 'lilliput[litert]'"
            ) from error
        try:
            with quiet():
                self.interpreter = Interpreter(str(path), num_threads=threads)
                self.interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ExportError(f"{path} is no LiteRT file that runs: {reason}") from error
        inputs = self.interpreter.get_input_details()
        outputs = self.interpreter.get_output_details()
        names = _signature_names(self.interpreter)
        self._inputs, self._outputs = inputs, outputs
        self.inputs = tuple(_spec(detail, names) for detail in inputs)
        self.outputs = tuple(_spec(detail, names) for detail in outputs)
        self._batch = int(self._inputs[0]["shape"][0])

    def __call__(self, inputs: tuple[Array, ...], /) -> tuple[Array, ...]:
        return in_batches(self._run, inputs, self._batch)

    def _run(self, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
        for detail, array in zip(self._inputs, inputs, strict=True):
            self.interpreter.set_tensor(detail["index"], _to_file(array, detail))
        self.interpreter.invoke()
        return tuple(_from_file(self.interpreter.get_tensor(d["index"]), d) for d in self._outputs)


def _signature_names(interpreter: Any) -> dict[int, str]:
    """What the signature calls each tensor; its own lists are in the order of the alphabet."""
    runner = interpreter.get_signature_runner()
    named = [*runner.get_input_details().items(), *runner.get_output_details().items()]
    return {detail["index"]: name for name, detail in named}


def _spec(detail: dict[str, Any], names: dict[int, str]) -> TensorSpec:
    name = names.get(detail["index"], detail["name"])
    dtype = "float32" if detail["quantization"][0] else np.dtype(detail["dtype"]).name
    return TensorSpec(name, (None, *(int(size) for size in detail["shape"][1:])), dtype)


def _to_file(array: Array, detail: dict[str, Any]) -> Array:
    scale, zero_point = detail["quantization"]
    if not scale or not np.issubdtype(array.dtype, np.floating):
        return array.astype(detail["dtype"], copy=False)
    limits = np.iinfo(detail["dtype"])
    codes = np.round(array / np.float32(scale)) + zero_point
    return np.asarray(np.clip(codes, limits.min, limits.max).astype(detail["dtype"]))


def _from_file(array: Array, detail: dict[str, Any]) -> Array:
    scale, zero_point = detail["quantization"]
    if not scale:
        return array
    return np.asarray((array.astype(np.float32) - zero_point) * np.float32(scale))
