"""Generated C on this machine, as a function."""

import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from lilliput.core import ExportError, MissingExtraError
from lilliput.export.c.package import End, Facts
from lilliput.export.format import Array, TensorSpec, in_batches

__all__ = ["CPredictor"]

_COMPILERS = ("cc", "gcc", "clang")


class CPredictor:
    """Sources compiled by this machine's own compiler; integers at their ends are hidden.

    Args:
        folder: With `model.c` and `model.h`.
        facts: Of their ends.

    Raises:
        MissingExtraError: There is no compiler.
        ExportError: It refuses the sources.
    """

    def __init__(self, folder: Path, facts: Facts) -> None:
        self.facts = facts
        self._invoke = _compiled(folder)
        self.inputs = tuple(map(_spec, facts.inputs))
        self.outputs = tuple(map(_spec, facts.outputs))

    def __call__(self, inputs: tuple[Array, ...], /) -> tuple[Array, ...]:
        return in_batches(self._run, inputs, self.facts.inputs[0].shape[0])

    def _run(self, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
        given = [_codes(x, end) for x, end in zip(inputs, self.facts.inputs, strict=True)]
        found = [np.zeros(end.shape, np.int8) for end in self.facts.outputs]
        self._invoke(*(ctypes.c_void_p(array.ctypes.data) for array in (*given, *found)))
        ends = zip(found, self.facts.outputs, strict=True)
        return tuple(
            (codes.astype(np.float32) - end.zero_point) * np.float32(end.scale)
            for codes, end in ends
        )


def _compiled(folder: Path) -> Callable[..., Any]:
    compiler = next(filter(None, map(shutil.which, _COMPILERS)), None)
    if compiler is None:
        raise MissingExtraError(
            f"running generated C needs a C compiler, and none of {', '.join(_COMPILERS)} is "
            "installed (apt-get install gcc)"
        )
    library = Path(tempfile.mkdtemp(prefix="lilliput-c-")) / "model.so"
    try:
        command = [compiler, "-std=c99", "-O2", "-shared", "-fPIC", "-o", str(library), "model.c"]
        done = subprocess.run(  # noqa: S603
            command, cwd=folder, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise ExportError(f"{compiler} refuses the generated C: {done.stderr[-2000:]}")
        function: Callable[..., Any] = ctypes.CDLL(str(library)).lilliput_invoke
        return function
    finally:  # once loaded, a library needs its file no more
        shutil.rmtree(library.parent, ignore_errors=True)


def _spec(end: End) -> TensorSpec:
    return TensorSpec(end.name, (None, *end.shape[1:]), "float32")


def _codes(values: Array, end: End) -> Array:
    if not np.issubdtype(values.dtype, np.floating):
        return np.ascontiguousarray(values, np.int8)
    codes = np.round(values / np.float32(end.scale)) + end.zero_point
    return np.ascontiguousarray(np.clip(codes, -128, 127).astype(np.int8))
