"""Where a model file of the command line finds its data."""

import os
from pathlib import Path

from lilliput.core.errors import TaskError

__all__ = ["data_dir", "set_data_dir"]

_given: list[Path] = []


def set_data_dir(path: Path | None) -> None:
    """Remembers the folder of `--data DIR` for this process; None forgets it."""
    _given[:] = [] if path is None else [path]


def data_dir() -> Path:
    """The folder of `--data DIR`, or else of the environment variable `LILLIPUT_DATA`.

    Raises:
        TaskError: Neither was given, or the folder does not exist.
    """
    found = _given[0] if _given else Path(os.environ.get("LILLIPUT_DATA", ""))
    if not _given and not os.environ.get("LILLIPUT_DATA"):
        raise TaskError("this model file needs data; pass --data DIR, the folder that holds it")
    if not found.is_dir():
        raise TaskError(f"the data folder {found} does not exist; pass --data DIR")
    return found.absolute()
