"""Files that are there whole or not at all, also after a power cut."""

import errno
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

    Where `path` is a link, the file that it points to is replaced.

    Raises:
        OSError: The disk is full or fails, or what is there is no plain file.
    """
    path = path.resolve() if path.is_symlink() else path
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it is there, and no plain file", str(path))
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
