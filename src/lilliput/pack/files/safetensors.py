"""Where the tensors of a `.safetensors` file are.

Source: github.com/huggingface/safetensors, README, "Format".
"""

import json
from collections.abc import Iterator
from typing import Any

from lilliput.pack.files.piece import Piece

__all__ = ["safetensors_pieces"]

_TYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_TYPES |= {"I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8", "BOOL": "bool"}
_TYPES |= {"F8_E4M3": "uint8", "F8_E5M2": "uint8"}
_TYPES |= {"U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8"}
_MOST_HEADER = 100_000_000


def safetensors_pieces(data: bytes) -> list[Piece] | None:
    """The tensors of a file; None where it is none, or damaged."""
    size = int.from_bytes(data[:8], "little")
    if len(data) < 9 or not 2 <= size <= min(len(data) - 8, _MOST_HEADER) or data[8:9] != b"{":
        return None
    try:
        header = json.loads(data[8 : 8 + size])
        return list(_pieces(header, 8 + size))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _pieces(header: dict[str, Any], start: int) -> Iterator[Piece]:
    for name, tensor in header.items():
        if name == "__metadata__" or tensor["dtype"] not in _TYPES:
            continue
        first, end = (int(place) for place in tensor["data_offsets"])
        shape = tuple(int(size) for size in tensor["shape"])
        yield Piece(name, _TYPES[tensor["dtype"]], shape, start + first, end - first)
