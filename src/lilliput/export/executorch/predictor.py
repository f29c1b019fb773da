"""ExecuTorch's runtime as a function."""

from pathlib import Path
from typing import Any
from weakref import WeakSet

import numpy as np
import torch

from lilliput.core import ExportError, MissingExtraError, UnsupportedError
from lilliput.export.executorch.file import verify
from lilliput.export.format import Array, TensorSpec, in_batches
from lilliput.export.quiet import quiet

__all__ = ["ExecuTorchPredictor"]

# Source: ExecuTorch 1.5.1, runtime/core/portable_type/scalar_type.h
_DTYPES = {0: "uint8", 1: "int8", 2: "int16", 3: "int32", 4: "int64", 6: "float32", 11: "bool"}

# the runtime has one pool of threads for all files, and those in use crash when it is another
_in_use: "WeakSet[ExecuTorchPredictor]" = WeakSet()


class ExecuTorchPredictor:
    """A loaded program with pinned threads.

    Raises:
        ExportError: The file is missing, truncated, or no ExecuTorch file.
        MissingExtraError: The runtime is not installed.
        UnsupportedError: Files that were loaded with another number of threads are in use.
    """

    def __init__(self, path: Path, threads: int) -> None:
        runtime = _import_runtime()
        if not path.is_file():
            raise ExportError(f"{path} is missing")
        self._data = path.read_bytes()  # the program only points into it
        verify(self._data, str(path))
        with quiet():
            _set_threads(runtime, threads)
            try:
                self._program = runtime._load_program_from_buffer(  # noqa: SLF001
                    self._data,
                    program_verification=runtime.Verification.InternalConsistency,
                )
                self._method = self._program.load_method("forward")
            except (RuntimeError, ValueError) as error:
                reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
                raise ExportError(f"{path} is no ExecuTorch file that runs: {reason}") from error
        meta = self._method.method_meta()
        self.inputs = _specs(meta.num_inputs(), meta.input_tensor_meta, "input")
        self.outputs = _specs(meta.num_outputs(), meta.output_tensor_meta, "output")
        _in_use.add(self)
        self._batch = int(meta.input_tensor_meta(0).sizes()[0])

    def __call__(self, inputs: tuple[Array, ...], /) -> tuple[Array, ...]:
        return in_batches(self._run, inputs, self._batch)

    def _run(self, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
        tensors = [
            torch.from_numpy(np.require(array, spec.dtype, ["C", "W"]))
            for spec, array in zip(self.inputs, inputs, strict=True)
        ]
        return tuple(output.numpy() for output in self._method(tensors))


def _import_runtime() -> Any:
    with quiet():
        try:
            from executorch.extension.pybindings import portable_lib
        except ImportError as error:
            raise MissingExtraError(
                f"running ExecuTorch files needs executorch ({error}); "
                "pip install 'lilliput[executorch]'"
            ) from error
    return portable_lib


def _set_threads(runtime: Any, threads: int) -> None:
    now = runtime._threadpool_get_thread_count()  # noqa: SLF001
    if now == threads:
        return
    if len(_in_use):
        raise UnsupportedError(
            f"ExecuTorch files in use run on {now} threads, and no other may run on {threads} "
            "before they are gone"
        )
    runtime._unsafe_reset_threadpool(threads)  # noqa: SLF001


def _specs(count: int, meta: Any, name: str) -> tuple[TensorSpec, ...]:
    """What goes in or out; the file has no names for it."""
    names = [name if not index else f"{name}_{index}" for index in range(count)]
    return tuple(_spec(names[index], meta(index)) for index in range(count))


def _spec(name: str, info: Any) -> TensorSpec:
    sizes = tuple(int(size) for size in info.sizes())
    return TensorSpec(name, (None, *sizes[1:]), _DTYPES.get(info.dtype(), "float32"))
