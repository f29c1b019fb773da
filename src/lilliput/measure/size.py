"""How large a file is."""

from lilliput.core import Artifact, Measurement

__all__ = ["size"]


def size(artifact: Artifact, device: str) -> Measurement:
    """Bytes on disk."""
    return Measurement("size", float(artifact.size_bytes), "B", "measured", device)
