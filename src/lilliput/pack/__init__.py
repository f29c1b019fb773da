"""The `.lil` file: what a network takes to download, and safe to open (`docs/format.md`)."""

from lilliput.pack.arrays import CODINGS
from lilliput.pack.container import Packed, read_stream
from lilliput.pack.file import pack, unpack
from lilliput.pack.model import PackedModel, Quantized, load_packed, pack_model, unpack_model

__all__ = [
    "CODINGS",
    "Packed",
    "PackedModel",
    "Quantized",
    "load_packed",
    "pack",
    "pack_model",
    "read_stream",
    "unpack",
    "unpack_model",
]
