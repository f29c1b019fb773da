"""Where a model file of the command line finds its data, and how long a loader is."""

import os
from collections.abc import Sized
from contextvars import ContextVar
from pathlib import Path

from lilliput.core.errors import TaskError

__all__ = ["data_dir", "length_of", "set_data_dir"]

_given: ContextVar[Path | None] = ContextVar("lilliput_data_dir", default=None)


def set_data_dir(path: Path | None) -> None:
    """Remembers the folder of `--data DIR`; None forgets it.

    Raises:
        TaskError: There is no such folder.
    """
    if path is not None and not path.is_dir():
        raise TaskError(_missing(path))
    _given.set(path)


def data_dir() -> Path:
    """The folder of `--data DIR`, or else of the environment variable `LILLIPUT_DATA`.

    Raises:
        TaskError: Neither was given, or the folder does not exist.
    """
    given = _given.get()
    found = given or Path(os.environ.get("LILLIPUT_DATA", ""))
    if given is None and not os.environ.get("LILLIPUT_DATA"):
        raise TaskError("this model file needs data; pass --data DIR, the folder that holds it")
    if not found.is_dir():
        raise TaskError(_missing(found))
    return found.absolute()


def _missing(path: Path) -> str:
    problem = "is no folder" if path.exists() else "does not exist"
    return f"the data folder {path} {problem}; pass --data DIR, the folder that holds the data"


def length_of(loader: object) -> int | None:
    """How many batches a loader gives; None where it cannot say.

    PyTorch's `DataLoader` always has a `__len__`, which raises where its data have no length.
    """
    if not isinstance(loader, Sized):
        return None
    try:
        return len(loader)
    except TypeError:
        return None
