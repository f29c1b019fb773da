"""A deployable file, named by its content."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from lilliput.core.kernel import Note
from lilliput.core.model import Step

__all__ = ["Artifact", "sha256_of"]


def sha256_of(path: Path) -> str:
    """Hex digest of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class Artifact:
    """A model file on disk.

    Args:
        path: The file.
        format: Key of `lilliput.export.FORMATS`.
        sha256: Hex digest of the file; two artifacts are the same if it is.
        history: The passes that made it, oldest first.
        notes: What of the network is otherwise in the file, or runs otherwise, than asked for.
        weights: How wide weights are in the file and when they run: `stored 4, runs 8`.
    """

    path: Path
    format: str
    sha256: str
    history: tuple[Step, ...] = ()
    notes: tuple[Note, ...] = ()
    weights: str = ""

    @classmethod
    def of(cls, path: Path, format: str, history: tuple[Step, ...] = ()) -> "Artifact":  # noqa: A002
        """Describes an existing file."""
        return cls(path, format, sha256_of(path), history)

    @property
    def size_bytes(self) -> int:
        """Bytes on disk."""
        return self.path.stat().st_size

    @property
    def suffix(self) -> str:
        """Of the file's name; that of a zip says what is in it, too."""
        both = self.path.suffixes[-2:]
        return "".join(both) if both[-1:] == [".zip"] else self.path.suffix
