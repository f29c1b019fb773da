"""From a model to a file a device can load, and back to a function."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from lilliput.core import Artifact, ExportError, Model, Note, Target, UnsupportedError
from lilliput.core.disk import replacing
from lilliput.core.model import check_model
from lilliput.core.spelling import did_you_mean
from lilliput.export.c.format import CSource
from lilliput.export.coreml.format import CoreMl
from lilliput.export.executorch.format import ExecuTorch
from lilliput.export.format import Format, Predictor, TensorSpec
from lilliput.export.litert.format import Litert
from lilliput.export.onnx.format import Onnx
from lilliput.export.openvino.format import OpenVino
from lilliput.export.packed import PackedOnnx, unpacked_bytes
from lilliput.export.parity import LayerParity, Parity, compare, compare_tensors
from lilliput.graph.masks import without_masks
from lilliput.quantize import check_rules, quantizers, weights_line

__all__ = [
    "FORMATS",
    "Format",
    "LayerParity",
    "Parity",
    "Predictor",
    "TensorSpec",
    "export",
    "load",
    "parity",
    "tensor_parity",
]

FORMATS: Mapping[str, Format] = {
    "onnx": Onnx(),
    "litert": Litert(),
    "executorch": ExecuTorch(),
    "coreml": CoreMl(),
    "openvino": OpenVino(),
    "c": CSource(),
    "packed": PackedOnnx(),
}


def export(model: Model, target: Target, folder: Path | str, strict: bool = False) -> Artifact:
    """Writes `model` in the target's format as `<folder>/model.<suffix>`, whole or not at all.

    Args:
        model: The network, quantized or not.
        target: Where it is to run.
        folder: Where the file goes.
        strict: Refuse what the target does not run as asked for; else the artifact's `notes` say
            what was done instead.

    Raises:
        UnsupportedError: No such format, quantizers against the target's rules, a file that does
            not fit in `target.flash_bytes`, or, if `strict`, a fallback.
        MissingExtraError: The format needs a package that is not installed.
        TraceError: `torch.export` cannot follow the network.
        ExportError: The file would not say what the network says, or cannot be written.
        TypeError: `model` is no `Model`.
    """
    check_model(model)
    format_ = _format(target.format, f"target {target.name!r} asks for format")
    model = without_masks(model)
    notes = (*model.notes, *_check_quantizers(model, target))
    if strict:
        _refuse(notes, target)
    folder = Path(folder)
    path = folder / f"model{format_.suffix}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part:
            format_.write(model, part, target)
            _check_size(part, path.name, target)
    except OSError as error:
        raise ExportError(f"cannot write {path}: {error.strerror or error}") from error
    artifact = Artifact.of(path, target.format, model.history)
    return replace(artifact, notes=notes, weights=weights_line(model.module, target.rules))


def load(path: Path | str, format: str, threads: int = 1) -> Predictor:  # noqa: A002
    """Gives a file back as a function.

    Args:
        path: The file.
        format: Key of `FORMATS`.
        threads: How many the runtime uses.

    Raises:
        UnsupportedError: No such format.
        MissingExtraError: The format needs a package that is not installed.
        ExportError: The file is missing, truncated, or not of this format.
    """
    path = Path(path)
    if not path.is_file():
        raise ExportError(f"{path} is not there")
    return _format(format, "asked for format").load(path, threads)


def parity(
    model: Model, artifact: Artifact, inputs: tuple[Tensor, ...], tolerance: float = 0.1
) -> Parity:
    """Compares a network with the file made of it.

    Args:
        model: The network, with its quantizers.
        artifact: The file.
        inputs: A batch of examples, best of calibration data.
        tolerance: Where an output differs by more than this share of its range, the layers are
            compared one by one and the first that differs is named.

    Raises:
        ExportError: The file does not load.
    """
    format_ = _format(artifact.format, "the artifact has format")
    return compare(model, artifact, inputs, format_, tolerance)


def tensor_parity(model: Model, artifact: Artifact, inputs: tuple[Tensor, ...]) -> dict[str, float]:
    """Compares what each quantizer of a network gives with the tensors inside the file.

    Args:
        model: The network, with its quantizers.
        artifact: The file.
        inputs: Of which the first example is looked at.

    Returns:
        The largest difference as a share of the tensor's range, by the quantizer's name; without
        those that the file has no tensor for.

    Raises:
        ExportError: The file does not load.
    """
    format_ = _format(artifact.format, "the artifact has format")
    return compare_tensors(model, artifact, inputs, format_)


def _format(name: str, asked: str) -> Format:
    if name not in FORMATS:
        raise UnsupportedError(f"{asked} {name!r}; {did_you_mean(name, FORMATS)}")
    return FORMATS[name]


def _refuse(notes: tuple[Note, ...], target: Target) -> None:
    fallbacks = [note.text for note in notes if note.is_fallback]
    if fallbacks:
        raise UnsupportedError(
            f"{target.name!r} does not run it as asked for, and strict allows nothing else: "
            f"{'; '.join(fallbacks)}"
        )


def _check_quantizers(model: Model, target: Target) -> tuple[Note, ...]:
    if target.rules is not None:
        return check_rules(model.module, target.rules, target.name)
    names = list(quantizers(model.module))
    if names:
        raise UnsupportedError(
            f"{target.name!r} runs floats only, but the network has {len(names)} quantizers, "
            f"{names[0]!r} the first; export the network as it was before it was quantized"
        )
    return ()


def _check_size(part: Path, name: str, target: Target) -> None:
    if target.flash_bytes is None or target.is_chip:
        return  # a zip of C is no image: its flash is counted when it is measured
    size = unpacked_bytes(part) if target.format == "packed" else part.stat().st_size
    if size > target.flash_bytes:
        raise UnsupportedError(
            f"{name} is {size:,} bytes but {target.name!r} has {target.flash_bytes:,} bytes of "
            "flash; quantize it or prune more channels"
        )
