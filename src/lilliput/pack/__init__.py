"""The `.lil` file: what a network takes to download, and safe to open (`docs/format.md`)."""

from lilliput.pack.codings import CODINGS
from lilliput.pack.container import Packed, read_stream
from lilliput.pack.file import pack, pack_bytes, unpack
from lilliput.pack.header import SourceFile
from lilliput.pack.model import PackedModel, Quantized, load_packed, pack_model, unpack_model
from lilliput.pack.requantize import requantize
from lilliput.pack.updates import apply_delta, delta

__all__ = [
    "CODINGS",
    "Packed",
    "PackedModel",
    "Quantized",
    "SourceFile",
    "apply_delta",
    "delta",
    "load_packed",
    "pack",
    "pack_bytes",
    "pack_model",
    "read_stream",
    "requantize",
    "unpack",
    "unpack_model",
]
