"""The files of a registry: named by their content, and either whole or not there."""

import contextlib
import hashlib
import os
import platform
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil

from lilliput.core import Artifact, RegistryError
from lilliput.core.artifact import sha256_of
from lilliput.core.disk import sync

__all__ = ["Blobs", "saying_what_was_written"]

_PIECE = 1 << 20
_PARTIAL = ".partial"


@contextlib.contextmanager
def saying_what_was_written(what: str, where: Path) -> Iterator[None]:
    """Turns a failing disk into an error that says what did not fit where.

    Raises:
        RegistryError: An `OSError` happened inside.
    """
    try:
        yield
    except OSError as error:
        nearest = next(folder for folder in (where, *where.absolute().parents) if folder.is_dir())
        free = shutil.disk_usage(nearest).free
        raise RegistryError(
            f"cannot write {what} to {where}: {error.strerror or error} "
            f"({free:,} bytes are free there); what was stored before is safe"
        ) from error


class Blobs:
    """A folder of files named by their SHA-256.

    Args:
        folder: Of the run; files are in `blobs`, damaged ones go to `quarantine`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "blobs"
        self.quarantine = folder / "quarantine"

    def put(self, artifact: Artifact) -> str:
        """Stores a copy, through to the disk; gives its file name.

        Raises:
            RegistryError: The disk is full or fails, or the file is not what it was.
        """
        name = artifact.sha256 + artifact.suffix
        # the process in the name tells a later opening whether somebody still writes here, and the
        # thread keeps two that store the same file out of each other's way
        writer = f"{artifact.sha256}.{threading.get_ident()}-{platform.node()}-{os.getpid()}"
        part = self.folder / f".{writer}{_PARTIAL}"
        with saying_what_was_written(f"{artifact.path.name}", self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                digest = _copy(artifact.path, part)
                if digest != artifact.sha256:
                    raise RegistryError(
                        f"{artifact.path} has changed since it was made: its SHA-256 was "
                        f"{artifact.sha256} and now is {digest}; export and measure it again"
                    )
                part.replace(self.folder / name)
                sync(self.folder)
            finally:
                part.unlink(missing_ok=True)
        return name

    def damage(self, name: str, sha256: str) -> str:
        """What is wrong with a file; "" where nothing is."""
        path = self.folder / name
        if not path.is_file():
            return "is missing"
        if sha256_of(path) != sha256:
            return "is damaged (its SHA-256 is not what it was)"
        return ""

    def set_aside(self, name: str) -> None:
        """Moves a damaged file to `quarantine`; another process may have done so already."""
        with (
            saying_what_was_written(name, self.quarantine),
            contextlib.suppress(FileNotFoundError),
        ):
            self.quarantine.mkdir(exist_ok=True)
            (self.folder / name).replace(self.quarantine / name)

    def sweep(self) -> None:
        """Removes what processes that are gone left half-written."""
        for path in self.folder.glob(f".*{_PARTIAL}"):
            with contextlib.suppress(FileNotFoundError):
                if _is_abandoned(path):
                    path.unlink()


def _copy(source: Path, destination: Path) -> str:
    """Copies through to the disk; gives the SHA-256 of what was copied."""
    digest = hashlib.sha256()
    with source.open("rb") as read, destination.open("wb") as write:
        while piece := read.read(_PIECE):
            digest.update(piece)
            write.write(piece)
        write.flush()
        os.fsync(write.fileno())
    return digest.hexdigest()


def _is_abandoned(path: Path) -> bool:
    """Whether the process named in a partial file is gone, or began after the file was written."""
    node, _, pid = path.name.removesuffix(_PARTIAL).partition("-")[2].rpartition("-")
    if node != platform.node():
        return False
    try:
        return bool(path.stat().st_mtime < psutil.Process(int(pid)).create_time())
    except psutil.NoSuchProcess:
        return True
