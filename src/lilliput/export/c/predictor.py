"""Generated C on this machine, as a function."""

import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lilliput.core import ExportError, MissingExtraError
from lilliput.export.c.package import End, Facts
from lilliput.export.format import Array, TensorSpec, in_batches

__all__ = ["CPredictor", "compiled"]

_COMPILERS = ("cc", "gcc", "clang")


@dataclass(frozen=True, eq=False)
class CPredictor:
    """Compiled sources; integers at their ends are hidden. One call at a time: the arena is one.

    Args:
        invoke: `lilliput_invoke`.
        facts: Of its ends.
    """

    invoke: Callable[..., Any]
    facts: Facts

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What the caller gives."""
        return tuple(map(_spec, self.facts.inputs))

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What the caller gets."""
        return tuple(map(_spec, self.facts.outputs))

    def __call__(self, inputs: tuple[Array, ...], /) -> tuple[Array, ...]:
        """Raises ValueError for inputs of another number, shape or kind: C takes bare addresses."""
        if len(inputs) != len(self.facts.inputs):
            raise ValueError(
                f"the network takes {len(self.facts.inputs)} inputs, got {len(inputs)}"
            )
        for array, end in zip(inputs, self.facts.inputs, strict=True):
            if array.shape[1:] != end.shape[1:]:
                wanted, got = list(end.shape[1:]), list(array.shape[1:])
                raise ValueError(f"{end.name!r} takes examples of shape {wanted}, got {got}")
            if not np.issubdtype(array.dtype, np.floating) and array.dtype != np.int8:
                raise ValueError(f"{end.name!r} takes floats or int8, got {array.dtype}")
        return in_batches(self._run, inputs, self.facts.inputs[0].shape[0])

    def _run(self, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
        given = [_codes(x, end) for x, end in zip(inputs, self.facts.inputs, strict=True)]
        found = [np.zeros(end.shape, np.int8) for end in self.facts.outputs]
        self.invoke(*(ctypes.c_void_p(array.ctypes.data) for array in (*given, *found)))
        ends = zip(found, self.facts.outputs, strict=True)
        return tuple(
            (codes.astype(np.float32) - end.zero_point) * np.float32(end.scale)
            for codes, end in ends
        )


def compiled(folder: Path) -> Callable[..., Any]:
    """`lilliput_invoke` of a folder's `model.c`, by this machine's own compiler.

    Raises:
        MissingExtraError: There is no compiler.
        ExportError: It refuses the sources.
    """
    compiler = next(filter(None, map(shutil.which, _COMPILERS)), None)
    if compiler is None:
        raise MissingExtraError(
            f"running generated C needs a C compiler, and none of {', '.join(_COMPILERS)} is "
            "installed (apt-get install gcc)"
        )
    with tempfile.TemporaryDirectory() as place:  # once loaded, a library needs its file no more
        library = Path(place) / "model.so"
        command = [compiler, "-std=c99", "-O2", "-shared", "-fPIC", "-o", str(library), "model.c"]
        done = subprocess.run(  # noqa: S603
            command, cwd=folder, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise ExportError(f"{compiler} refuses the generated C: {done.stderr[-2000:]}")
        function: Callable[..., Any] = ctypes.CDLL(str(library)).lilliput_invoke
        return function


def _spec(end: End) -> TensorSpec:
    return TensorSpec(end.name, (None, *end.shape[1:]), "float32")


def _codes(values: Array, end: End) -> Array:
    if values.dtype == np.int8:
        return np.ascontiguousarray(values)
    codes = np.round(values / np.float32(end.scale)) + end.zero_point
    return np.ascontiguousarray(np.clip(codes, -128, 127).astype(np.int8))
