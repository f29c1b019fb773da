"""How large a file is, and what a packed one becomes."""

from lilliput.core import Artifact, Measurement
from lilliput.export.packed import unpacked_bytes

__all__ = ["size", "unpacked"]


def size(artifact: Artifact, device: str) -> Measurement:
    """Bytes on disk."""
    return Measurement("size", float(artifact.size_bytes), "B", "measured", device)


def unpacked(artifact: Artifact, device: str) -> tuple[Measurement, ...]:
    """As `flash`, bytes of the file that a packed one becomes; nothing for other formats."""
    if artifact.format != "packed":
        return ()
    flash = float(unpacked_bytes(artifact.path))
    return (Measurement("flash", flash, "B", "measured", device),)
