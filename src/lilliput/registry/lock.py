"""One process at a time writes a run."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lilliput.core import RegistryError
from lilliput.registry.blobs import saying_what_was_written

__all__ = ["alone_in"]


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Holds a run's folder; a process that ends in any way lets it go.

    Raises:
        RegistryError: Another process holds it, or it cannot be written.
    """
    from filelock import FileLock, Timeout

    with saying_what_was_written("a lock", folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock", timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            raise RegistryError(
                f"another process is at work in {folder}; wait for it, or give another --out"
            ) from error
    try:
        yield
    finally:
        lock.release()
