"""The `.lil` file: what a network takes to download, and safe to open (`docs/format.md`)."""

from lilliput.pack.container import Packed, read_stream
from lilliput.pack.file import pack, unpack

__all__ = [
    "Packed",
    "pack",
    "read_stream",
    "unpack",
]
