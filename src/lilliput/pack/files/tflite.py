"""Where the constants and scales of a `.tflite` file are.

Source: tensorflow/compiler/mlir/lite/schema/schema.fbs, version 3, for fields and type codes;
FlatBuffers internals (flatbuffers.dev/internals) for how tables lie in bytes.
"""

import math
import struct
from collections.abc import Iterator

from lilliput.pack.files.piece import Piece

__all__ = ["tflite_pieces"]

_IDENTIFIER = b"TFL3"
_TYPES = {0: "float32", 1: "float16", 2: "int32", 3: "uint8", 4: "int64", 6: "bool", 7: "int16"}
_TYPES |= {9: "int8", 10: "float64", 12: "uint64", 15: "uint32", 16: "uint16"}
_BYTES = {"float16": 2, "int16": 2, "uint16": 2, "float32": 4, "int32": 4, "uint32": 4}
_BYTES |= {"int64": 8, "uint64": 8, "float64": 8}
_SUBGRAPHS, _BUFFERS, _TENSORS = 2, 4, 0
_SHAPE, _TYPE, _BUFFER, _NAME, _QUANTIZATION = range(5)
_SIDES = (("scale", 2), ("min", 0), ("max", 1))


def tflite_pieces(data: bytes) -> list[Piece] | None:
    """The arrays of a LiteRT file; None where it is none, or damaged."""
    if data[4:8] != _IDENTIFIER:
        return None
    try:
        return list(_pieces(data))
    except (struct.error, UnicodeDecodeError, ValueError):
        return None


def _pieces(data: bytes) -> Iterator[Piece]:
    model = _Table(data, _number(data, "<I", 0))
    buffers = model.tables(_BUFFERS)
    for graph in model.tables(_SUBGRAPHS):
        for tensor in graph.tables(_TENSORS):
            name = tensor.text(_NAME)
            dtype = _TYPES.get(tensor.scalar(_TYPE, "<b"))
            sizes, count = tensor.vector(_SHAPE)
            shape = struct.unpack_from(f"<{count}i", data, sizes)
            place = tensor.scalar(_BUFFER, "<I")
            start, length = buffers[place].vector(0) if place < len(buffers) else (0, 0)
            if length and dtype and length == math.prod(shape) * _BYTES.get(dtype, 1):
                yield Piece(name, dtype, shape, start, length)
            quantization = tensor.table(_QUANTIZATION)
            for side, field in _SIDES if quantization else ():
                start, count = quantization.vector(field) if quantization else (0, 0)
                if count > 1:
                    yield Piece(f"{name}: {side}", "float32", (count,), start, 4 * count, True)


class _Table:
    """A table of a FlatBuffer, its fields by number.

    Args:
        data: The file.
        at: Where the table begins.
    """

    def __init__(self, data: bytes, at: int) -> None:
        self.data, self.at = data, at
        self.fields = at - _number(data, "<i", at)
        self.size = _number(data, "<H", self.fields)

    def _place(self, field: int) -> int:
        """Where a field is; 0 where it is left out."""
        offset = 4 + 2 * field
        inside = _number(self.data, "<H", self.fields + offset) if offset < self.size else 0
        return self.at + inside if inside else 0

    def _followed(self, field: int) -> int:
        place = self._place(field)
        return place + _number(self.data, "<I", place) if place else 0

    def scalar(self, field: int, form: str) -> int:
        """A number, 0 by default."""
        place = self._place(field)
        return _number(self.data, form, place) if place else 0

    def table(self, field: int) -> "_Table | None":
        """A table; None where there is none."""
        place = self._followed(field)
        return _Table(self.data, place) if place else None

    def vector(self, field: int) -> tuple[int, int]:
        """Where a vector's items begin, and how many there are."""
        place = self._followed(field)
        if not place:
            return 0, 0
        count = _number(self.data, "<I", place)
        if count > len(self.data) - place - 4:
            raise ValueError("a vector is longer than the file")
        return place + 4, count

    def tables(self, field: int) -> list["_Table"]:
        """The tables of a vector."""
        start, count = self.vector(field)
        places = range(start, start + 4 * count, 4)
        return [_Table(self.data, place + _number(self.data, "<I", place)) for place in places]

    def text(self, field: int) -> str:
        """A text, empty by default."""
        start, count = self.vector(field)
        return self.data[start : start + count].decode()


def _number(data: bytes, form: str, at: int) -> int:
    if at < 0:
        raise ValueError("a place before the file")
    return int(struct.unpack_from(form, data, at)[0])
