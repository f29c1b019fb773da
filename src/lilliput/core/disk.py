"""Files that are there whole or not at all, also after a power cut."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["replacing", "sync"]


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a place beside `path` to write a file, which takes the place of `path` afterwards.

    Whoever reads `path` finds the old file or the new one, never half of one. Where writing fails
    the old one stays, and nothing else.

    Raises:
        OSError: The disk is full or fails.
    """
    writer = f"{os.getpid()}-{threading.get_ident()}"
    part = path.with_name(f".{path.stem}-{writer}{path.suffix}")
    try:
        yield part
        sync(part)
        part.replace(path)
        sync(path.parent)
    finally:
        part.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Waits until the disk has a file's content, or a folder's list of files."""
    is_folder = path.is_dir()
    if is_folder and os.name == "nt":
        return  # Windows has no way to open a folder
    descriptor = os.open(path, os.O_RDONLY if is_folder else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
