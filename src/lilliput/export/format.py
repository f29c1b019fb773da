"""A file format: how to write a model, and how to run the file again."""

import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from lilliput.core import ExportError, Model, Target
from lilliput.core.disk import replacing

__all__ = ["Array", "Format", "Predictor", "TensorSpec", "in_batches", "write_bytes"]

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class TensorSpec:
    """An input or output of a file.

    Args:
        name: As in the file.
        shape: Sizes; None where the file takes any number.
        dtype: As the caller gives or gets it, in numpy's name.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str


@runtime_checkable
class Predictor(Protocol):
    """A loaded file, ready to run.

    It takes any number of examples on axis 0, and floats even where the file's own are integers.
    """

    @property
    def inputs(self) -> tuple[TensorSpec, ...]: ...

    @property
    def outputs(self) -> tuple[TensorSpec, ...]: ...

    def __call__(self, inputs: tuple[Array, ...], /) -> tuple[Array, ...]: ...


@runtime_checkable
class Format(Protocol):
    """One deployable file format."""

    @property
    def suffix(self) -> str:
        """Of the file's name, with the dot."""
        ...

    def write(self, model: Model, path: Path, target: Target | None, /) -> None:
        """Writes the model; a quantized one keeps its own scales.

        Args:
            model: The network.
            path: The file.
            target: Where it is to run; None for anywhere.

        Raises:
            TraceError: `torch.export` cannot follow the network.
            MissingExtraError: A package is not installed.
            ExportError: The file would not say what the network says, or cannot be written.
        """
        ...

    def load(self, path: Path, threads: int, /) -> Predictor:
        """Gives the file back as a function.

        Raises:
            ExportError: The file is missing, truncated or not of this format.
        """
        ...

    def intermediates(self, path: Path, inputs: tuple[Array, ...], /) -> list[Array]:
        """Every activation inside the file for one batch of inputs, as floats.

        Raises:
            UnsupportedError: The runtime does not show them.
        """
        ...


def write_bytes(path: Path, data: bytes) -> None:
    """Writes a file whole and through to the disk, or not at all.

    Raises:
        ExportError: Says how much was to be written, and where.
    """
    try:
        with replacing(path) as part:
            part.write_bytes(data)
    except OSError as error:
        free = shutil.disk_usage(path.parent).free if path.parent.is_dir() else 0
        raise ExportError(
            f"cannot write {path}: {error.strerror or error}; "
            f"{len(data):,} bytes were to be written, {free:,} are free there"
        ) from error


def in_batches(
    run: Callable[[tuple[Array, ...]], tuple[Array, ...]], inputs: tuple[Array, ...], size: int
) -> tuple[Array, ...]:
    """Runs a file that takes exactly `size` examples on any number of them.

    The last call is filled up with copies of the last example, whose outputs are cut off.
    """
    count = len(inputs[0])
    pieces = []
    for start in range(0, count, size):
        batch = tuple(array[start : start + size] for array in inputs)
        missing = size - len(batch[0])
        if missing:
            batch = tuple(np.concatenate([x, np.repeat(x[-1:], missing, 0)]) for x in batch)
        pieces.append(tuple(output[: size - missing] for output in run(batch)))
    if math.ceil(count / size) == 1:
        return pieces[0]
    return tuple(np.concatenate(parts) for parts in zip(*pieces, strict=True))
