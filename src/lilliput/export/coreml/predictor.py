"""Runs Core ML packages: macOS alone can."""

import platform
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from lilliput.core import ExportError, UnsupportedError
from lilliput.export.coreml.converter import import_converter
from lilliput.export.coreml.package import Package, read, unpack, write
from lilliput.export.format import Array, TensorSpec, in_batches
from lilliput.export.quiet import quiet

__all__ = ["CoreMlPredictor", "exposed"]

_SYSTEM = "Darwin"
_FLOAT32, _INT32 = 65568, 131104
_DTYPES = {_FLOAT32: "float32", _INT32: "int32"}
"""Of `ArrayFeatureType`."""


class CoreMlPredictor:
    """A package that Core ML compiled, on this Mac, and runs where it chooses to.

    That is the processor or the GPU, in floats of 32 bits, which the program says.

    Raises:
        ExportError: The file is missing, truncated, or no package.
        MissingExtraError: coremltools is not installed.
        UnsupportedError: This is no Mac.
    """

    def __init__(self, path: Path) -> None:
        spec = read(path).spec
        if platform.system() != _SYSTEM:
            raise UnsupportedError(
                f"{path} runs on macOS alone, and this is {platform.system()}: measure it on a "
                "Mac, or export the same recipe for a target that runs here"
            )
        ct = import_converter()
        folder = tempfile.TemporaryDirectory()
        weakref.finalize(self, folder.cleanup)  # by itself it would go with a warning
        package = unpack(path, Path(folder.name))
        try:
            with quiet():
                self._model = ct.models.MLModel(str(package))
        except Exception as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ExportError(f"{path} is no package that Core ML runs: {reason}") from error
        self.inputs = tuple(_spec(feature) for feature in spec.description.input)
        self.outputs = tuple(_spec(feature) for feature in spec.description.output)
        self._dtypes = [_file_dtype(feature) for feature in spec.description.input]

    def __call__(self, inputs: tuple[Array, ...], /) -> tuple[Array, ...]:
        return in_batches(self._run, inputs, 1)

    def _run(self, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
        feeds = {
            spec.name: np.ascontiguousarray(array, dtype)
            for spec, array, dtype in zip(self.inputs, inputs, self._dtypes, strict=True)
        }
        found = self._model.predict(feeds)
        return tuple(np.asarray(found[spec.name]).astype(spec.dtype) for spec in self.outputs)


def _spec(feature: Any) -> TensorSpec:
    array = feature.type.multiArrayType
    dtype = feature.shortDescription or _DTYPES[array.dataType]
    return TensorSpec(feature.name, (None, *array.shape[1:]), dtype)


def _file_dtype(feature: Any) -> type[np.generic]:
    return np.int32 if feature.type.multiArrayType.dataType == _INT32 else np.float32


@contextmanager
def exposed(path: Path) -> Iterator[Path]:
    """A copy of a package that gives every activation that is of floats, for a while."""
    package = read(path)
    (block,) = package.spec.mlProgram.functions["main"].block_specializations.values()
    for operator in block.operations:
        is_constant = operator.type == "const" or operator.type.startswith("constexpr_")
        for output in operator.outputs:
            tensor = output.type.tensorType
            is_float = tensor.dataType == _MIL_FLOAT32 and tensor.dimensions
            if is_constant or not is_float or output.name in block.outputs:
                continue
            block.outputs.append(output.name)
            feature = package.spec.description.output.add(name=output.name)
            feature.type.multiArrayType.dataType = _FLOAT32
            feature.type.multiArrayType.shape.extend(d.constant.size for d in tensor.dimensions)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        copy.write_bytes(write(Package(package.spec, package.blob)))
        yield copy


_MIL_FLOAT32 = 11
"""Of MIL's `DataType`."""
