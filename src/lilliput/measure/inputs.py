"""Whether a file takes what a task gives."""

from collections.abc import Sequence
from pathlib import Path

from lilliput.core import MeasureError
from lilliput.export import TensorSpec
from lilliput.measure.frames import Array

__all__ = ["check_inputs"]


def check_inputs(path: Path, takes: Sequence[TensorSpec], given: Sequence[Array]) -> None:
    """Refuses inputs of another number or shape than the file's; only the batch may differ.

    Args:
        path: The file.
        takes: Its inputs.
        given: A batch of the task's.

    Raises:
        MeasureError: Names both.
    """
    if len(takes) != len(given):
        shapes = ", ".join(_shape(array.shape) for array in given)
        raise MeasureError(
            f"{path} takes {_inputs(len(takes))}, {', '.join(map(_named, takes))}, but the task "
            f"gives {_inputs(len(given))}, of shape {shapes}; use the task the file was made for"
        )
    for spec, array in zip(takes, given, strict=True):
        sizes = zip(spec.shape[1:], array.shape[1:], strict=False)
        if len(spec.shape) != array.ndim or any(size not in {None, ours} for size, ours in sizes):
            raise MeasureError(
                f"{path} takes input {_named(spec)}, but the task gives {_shape(array.shape)}; a "
                "file has fixed sizes on every axis but axis 0, the batch: give data of that "
                "shape, or export again with example_inputs of the data's"
            )


def _inputs(count: int) -> str:
    return f"{count} input" + ("" if count == 1 else "s")


def _named(spec: TensorSpec) -> str:
    return f"{spec.name} {_shape(('batch', *spec.shape[1:]) if spec.shape else ())}"


def _shape(sizes: Sequence[int | str | None]) -> str:
    return f"[{', '.join('any' if size is None else str(size) for size in sizes)}]"
