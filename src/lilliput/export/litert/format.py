"""LiteRT (TensorFlow Lite) files, run by its interpreter with XNNPACK; needs the extra `litert`."""

import inspect
import logging
import mmap
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.fx import GraphModule

from lilliput.core import ExportError, MissingExtraError, Model, QuantizationRules, Target
from lilliput.core.modes import in_eval_mode
from lilliput.export.format import Array, Predictor, TensorSpec, in_batches, write_bytes
from lilliput.export.litert.check import check_scales
from lilliput.export.litert.converter import import_converter
from lilliput.export.litert.file import pack, read, strip
from lilliput.export.litert.floats import keep_floats
from lilliput.export.litert.layout import pad_as_it_lies
from lilliput.export.litert.weights import (
    drop_unused,
    halve_floats,
    narrow_floats,
    narrow_weights,
    widen_biases,
)
from lilliput.export.lower import is_quantized, lower
from lilliput.export.quiet import quiet
from lilliput.export.refusal import refusal, refusing
from lilliput.graph import trace
from lilliput.quantize.placing.scheme import weighted_operators
from lilliput.quantize.sharing.cluster import write_out

__all__ = ["Litert", "LitertPredictor", "convert", "encode"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Litert:
    """`.tflite` files for one example, in the layout of the network's own `forward`."""

    suffix: str = ".tflite"

    def write(self, model: Model, path: Path, target: Target | None, /) -> None:
        """Converts for a batch of one, checks that scales were kept, and writes."""
        write_bytes(path, encode(model, target.rules if target else None))

    def load(self, path: Path, threads: int, /) -> Predictor:
        """Opens an interpreter."""
        return LitertPredictor(path, threads)

    def intermediates(self, path: Path, inputs: tuple[Array, ...], /) -> list[Array]:
        """Runs the plain kernels: XNNPACK keeps what is inside to itself."""
        predictor = LitertPredictor(path, 1, keeps_all=True)
        predictor(inputs)
        return predictor.tensors()


def encode(model: Model, rules: QuantizationRules | None) -> bytes:
    """The bytes of the file.

    Operators without weights that run in floats although the rules want integers are logged as a
    warning.

    Raises:
        TraceError: `torch.export` cannot follow the network.
        MissingExtraError: The converter is not installed.
        ExportError: It has no LiteRT form, or none with the scales of its quantizers.
    """
    with refusing(model.module, "LiteRT"):
        inputs = tuple(x[:1] for x in model.example_inputs)
        one = replace(model.clone(), example_inputs=inputs)
        write_out(one.module)  # a lookup would run each time, on codes no narrower than floats
        if not is_quantized(model):
            file = read(convert(one, fuses_pairs=False), "the converter's output")
        elif any(found.scheme == "static" for found in weighted_operators(model.module)):
            file = _with_integers(one, rules)
        else:
            file = _with_narrow_weights(one, rules)
        halve_floats(file)
        strip(file)
        return pack(file)


def _with_integers(model: Model, rules: QuantizationRules | None) -> Any:
    """What the converter makes of a network with quantizers, checked against them."""
    module = model.module
    fenced = keep_floats(model, rules) if rules and isinstance(module, GraphModule) else model
    lowered = lower(fenced, stores_integers=False)
    file = read(convert(lowered, fuses_pairs=True), "the converter's output")
    assert isinstance(module, GraphModule)  # noqa: S101  lower refuses others
    in_floats = check_scales(module, file, rules)
    if in_floats:
        _log.warning("in the LiteRT file these run in floats: %s", ", ".join(in_floats))
    widen_biases(file)
    if rules is not None:
        narrow_weights(file, rules)
    pad_as_it_lies(file)
    drop_unused(file)
    return file


def _with_narrow_weights(model: Model, rules: QuantizationRules | None) -> Any:
    """What the converter makes of a network whose activations are floats, its weights narrowed."""
    lowered = lower(model, stores_integers=False)
    file = read(convert(lowered, fuses_pairs=False), "the converter's output")
    assert isinstance(model.module, GraphModule)  # noqa: S101  lower refuses others
    narrow_floats(file, model.module, rules)
    return file


def convert(model: Model, fuses_pairs: bool) -> bytes:
    """What the converter makes of a network for one batch.

    Args:
        model: The network.
        fuses_pairs: Make integer operators of what stands between quantize/dequantize pairs.

    Raises:
        MissingExtraError: The converter is not installed.
    """
    module = model.module
    names = argument_names(module, len(model.example_inputs))
    litert_torch = import_converter()
    with quiet():
        try:
            with in_eval_mode(module):
                converted = litert_torch.convert(
                    module,
                    sample_kwargs=dict(zip(names, model.example_inputs, strict=True)),
                    quant_config=_fusing() if fuses_pairs else None,
                )
            return bytes(converted.model_content())
        except Exception as error:
            trace(model, has_dynamic_batch=False)  # says better what is wrong, if it is the trace
            raise refusal(module, "LiteRT", error) from error


def _fusing() -> Any:
    """Makes the converter fuse quantize/dequantize pairs into integer operators.

    The quantizer named here never runs: that there is one switches the conversion.
    """
    from litert_torch.quantize.pt2e_quantizer import (
        PT2EQuantizer,
        get_symmetric_quantization_config,
    )
    from litert_torch.quantize.quant_config import QuantConfig

    config = get_symmetric_quantization_config(is_per_channel=True)
    return QuantConfig(pt2e_quantizer=PT2EQuantizer().set_global(config))


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

    def __init__(self, path: Path, threads: int, keeps_all: bool = False) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter, OpResolverType
        except ImportError as error:
            raise MissingExtraError(
                f"running LiteRT files needs ai-edge-litert ({error}); "
                "pip install 'lilliput[litert]'"
            ) from error
        _verify(path)
        try:
            with quiet():
                self.interpreter = Interpreter(
                    str(path),
                    num_threads=threads,
                    experimental_preserve_all_tensors=keeps_all,
                    experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
                    if keeps_all
                    else OpResolverType.AUTO,
                )
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

    def tensors(self) -> list[Array]:
        """Every tensor of the file after a run, as floats; needs `keeps_all`."""
        activations = [
            detail
            for detail in self.interpreter.get_tensor_details()
            if len(detail["shape"]) and len(detail["quantization_parameters"]["scales"]) <= 1
        ]
        return [_from_file(self.interpreter.get_tensor(d["index"]), d) for d in activations]


def _verify(path: Path) -> None:
    """The interpreter itself may crash on a damaged file."""
    if not path.is_file() or not path.stat().st_size:
        raise ExportError(f"{path} is missing or empty")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        # the objects hold views of the map, which must be gone before it closes
        read(data, str(path))


def _signature_names(interpreter: Any) -> dict[int, str]:
    """What the signature calls each tensor; its own lists are in the order of the alphabet."""
    runner = interpreter.get_signature_runner()
    named = [*runner.get_input_details().items(), *runner.get_output_details().items()]
    return {detail["index"]: name for name, detail in named}


def _spec(detail: dict[str, Any], names: dict[int, str]) -> TensorSpec:
    """A tensor as the caller sees it: reals for quantized ones, PyTorch's integers for 32 bits."""
    dtype = "float32" if detail["quantization"][0] else np.dtype(detail["dtype"]).name
    dtype = "int64" if dtype == "int32" else dtype
    shape = (None, *(int(size) for size in detail["shape"][1:]))
    return TensorSpec(names.get(detail["index"], detail["name"]), shape, dtype)


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
        return array.astype(np.int64) if array.dtype == np.int32 else array
    return np.asarray((array.astype(np.float32) - zero_point) * np.float32(scale))
