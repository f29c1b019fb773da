"""The `.lil` file: what a network takes to download, and safe to open (`docs/format.md`)."""

from lilliput.pack.container import Packed, read_stream

__all__ = ["Packed", "read_stream"]
