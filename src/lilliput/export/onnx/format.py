"""ONNX, run by ONNX Runtime: the format every install can write and run."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lilliput.core import ExportError, MissingExtraError, Model, Target
from lilliput.export.format import Array, Predictor, TensorSpec, in_batches, write_bytes
from lilliput.export.lower import is_quantized, lower
from lilliput.export.onnx.dialect import Dialect
from lilliput.export.quiet import quiet
from lilliput.export.refusal import refusing
from lilliput.graph import Graph, trace
from lilliput.quantize import quantizers
from lilliput.quantize.sharing.cluster import palettes, spell_out_zeros

__all__ = ["Onnx", "OnnxPredictor", "encode", "run_exposed"]

_OPSET, _WIDE_OPSET = 20, 21
"""QuantizeLinear gives 16 bits from opset 21 on."""
_MOST_FOLDED = 256
"""Bytes of constants of which what follows is worked out: shapes, and no weights."""
_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(int8)": "int8",
    "tensor(uint8)": "uint8",
    "tensor(int16)": "int16",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(bool)": "bool",
}


@dataclass(frozen=True)
class Onnx:
    """`.onnx` files: quantize/dequantize pairs where the model has quantizers."""

    suffix: str = ".onnx"

    def write(self, model: Model, path: Path, target: Target | None, /) -> None:  # noqa: ARG002
        """Traces, converts, strips what only costs bytes, checks and writes."""
        write_bytes(path, encode(model))

    def load(self, path: Path, threads: int, /) -> Predictor:
        """Opens a session of ONNX Runtime."""
        return OnnxPredictor(path, threads)

    def intermediates(self, path: Path, inputs: tuple[Array, ...], /) -> list[Array]:
        """Runs a copy of the file whose activations are outputs, integers dequantized."""
        return run_exposed(path, inputs, lambda content: OnnxPredictor(content, 1))


def run_exposed(
    path: Path, inputs: tuple[Array, ...], opened: Callable[[bytes], Predictor]
) -> list[Array]:
    """Every activation of a file for one batch, by whichever runtime opens a copy of it."""
    import onnx
    import onnx_ir as ir

    from lilliput.export.onnx.rewrite import expose

    model = ir.load(path)
    grids = expose(model.graph)
    content = onnx.ModelProto.SerializeToString(ir.serde.serialize_model(model))
    predictor = opened(content)
    names = [spec.name for spec in predictor.outputs]
    values = zip(names, predictor(inputs), strict=True)
    return [_real(value, *grids[name]) if name in grids else value for name, value in values]


def encode(model: Model, dialect: Dialect | None = None) -> bytes:
    """The bytes of the file.

    Args:
        model: The network, quantized or not.
        dialect: Of the runtime that is to read it; None for ONNX Runtime's.

    Raises:
        TraceError: `torch.export` cannot follow the network.
        ExportError: It has no ONNX form, or none that ONNX's own checker takes.
        MissingExtraError: ONNX is not installed.
    """
    with _named("writing ONNX files", "onnx onnxscript"):
        import onnx
        import onnx_ir as ir

        from lilliput.export.onnx.strip import strip

    with refusing(model.module, "ONNX"):
        lowered = lower(model, stores_integers=True) if is_quantized(model) else model
        has_palettes = bool(palettes(model.module))
        if has_palettes:
            lowered = lowered.clone()
            spell_out_zeros(lowered.module)
        is_wide = any(part.type.bits > 8 for part in quantizers(model.module).values())
        opset = _WIDE_OPSET if is_wide else _OPSET
        converted = _convert(trace(lowered), opset, has_palettes)
        strip(converted, dialect or Dialect())
        proto = ir.serde.serialize_model(converted)
        del proto.graph.value_info[:]
        onnx.checker.check_model(proto, full_check=True)
        return bytes(proto.SerializeToString())


@contextmanager
def _named(what: str, packages: str) -> Iterator[None]:
    """Says what installs packages that every install has, but that somebody took away."""
    try:
        yield
    except ImportError as error:
        raise MissingExtraError(
            f"{what} needs {packages} ({error}); pip install {packages}"
        ) from error


def _convert(graph: Graph, opset: int, has_palettes: bool) -> Any:
    """What the exporter makes of a network; palettes and their codes stay apart."""
    import torch
    from onnxscript.optimizer import optimize

    with quiet():
        program = torch.onnx.export(
            graph.program,
            (),
            dynamo=True,
            opset_version=opset,
            verbose=False,
            optimize=not has_palettes,
        )
        assert program is not None  # noqa: S101
        if has_palettes:
            optimize(program.model, input_size_limit=_MOST_FOLDED)
    return program.model


class OnnxPredictor:
    """A session of ONNX Runtime with pinned threads.

    Raises:
        ExportError: The file is missing, truncated, or no ONNX.
        MissingExtraError: ONNX Runtime is not installed.
    """

    def __init__(self, model: Path | bytes, threads: int) -> None:
        with _named("running ONNX files", "onnxruntime"):
            import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self.session = ort.InferenceSession(
                model if isinstance(model, bytes) else str(model),
                options,
                providers=["CPUExecutionProvider"],
            )
        except Exception as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ExportError(f"{_short(model)} is no ONNX file that runs: {reason}") from error
        self.inputs = tuple(_spec(value) for value in self.session.get_inputs())
        self.outputs = tuple(_spec(value) for value in self.session.get_outputs())
        self._batch = self.inputs[0].shape[0] if self.inputs and self.inputs[0].shape else None

    def __call__(self, inputs: tuple[Array, ...], /) -> tuple[Array, ...]:
        if self._batch is None or len(inputs[0]) == self._batch:
            return self._run(inputs)
        return in_batches(self._run, inputs, self._batch)

    def _run(self, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
        feeds = {
            spec.name: np.ascontiguousarray(array, spec.dtype)
            for spec, array in zip(self.inputs, inputs, strict=True)
        }
        return tuple(self.session.run(None, feeds))


def _short(model: Path | bytes) -> str:
    return f"{len(model):,} bytes" if isinstance(model, bytes) else str(model)


def _real(codes: Array, scale: float, zero_point: int) -> Array:
    return np.asarray((codes.astype(np.float32) - zero_point) * np.float32(scale))


def _spec(value: Any) -> TensorSpec:
    shape = tuple(size if isinstance(size, int) else None for size in value.shape)
    return TensorSpec(value.name, shape, _DTYPES.get(value.type, value.type))
