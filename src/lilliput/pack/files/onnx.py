"""Where the initializers and constants of an `.onnx` file are.

Source: onnx/onnx.proto for fields and type codes; protobuf.dev, "Encoding", for how they lie in
bytes.
"""

from collections.abc import Iterator

from lilliput.pack.files.piece import Piece

__all__ = ["onnx_pieces"]

_TYPES = {1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64"}
_TYPES |= {9: "bool", 10: "float16", 11: "float64", 12: "uint32", 13: "uint64", 16: "bfloat16"}
_GRAPH, _NODE, _INITIALIZER, _ATTRIBUTE, _TENSOR = 7, 1, 5, 5, 5
_DIMS, _DATA_TYPE, _NAME, _RAW_DATA = 1, 2, 8, 9
_VARINT, _FIXED64, _SIZED, _FIXED32 = 0, 1, 2, 5

Field = tuple[int, int, int, int]
"""Number, wire type, first byte, and length; of a varint its value instead of the length."""


def onnx_pieces(data: bytes) -> list[Piece] | None:
    """The arrays of an ONNX file; None where it is none, or damaged."""
    try:
        return list(_pieces(data))
    except (IndexError, ValueError):
        return None


def _pieces(data: bytes) -> Iterator[Piece]:
    graphs = list(_inside(data, 0, len(data), _GRAPH))
    if not graphs:
        raise ValueError("there is no graph")
    for start, end in graphs:
        for place in _inside(data, start, end, _INITIALIZER):
            yield from _tensor(data, *place)
        for node in _inside(data, start, end, _NODE):
            for attribute in _inside(data, *node, _ATTRIBUTE):
                for place in _inside(data, *attribute, _TENSOR):
                    yield from _tensor(data, *place)


def _tensor(data: bytes, start: int, end: int) -> Iterator[Piece]:
    shape: list[int] = []
    dtype, name, raw = "", "", (0, 0)
    for number, wire, at, length in _fields(data, start, end):
        if number == _DIMS and wire == _VARINT:
            shape.append(length)
        elif number == _DIMS and wire == _SIZED:
            shape += _packed(data, at, at + length)
        elif number == _DATA_TYPE and wire == _VARINT:
            dtype = _TYPES.get(length, "")
        elif number == _NAME and wire == _SIZED:
            name = data[at : at + length].decode()
        elif number == _RAW_DATA and wire == _SIZED:
            raw = at, length
    if raw[1] and dtype:
        yield Piece(name, dtype, tuple(shape), *raw)


def _inside(data: bytes, start: int, end: int, wanted: int) -> Iterator[tuple[int, int]]:
    """Where the messages of a field begin and end."""
    for number, wire, at, length in _fields(data, start, end):
        if number == wanted and wire == _SIZED:
            yield at, at + length


def _fields(data: bytes, start: int, end: int) -> Iterator[Field]:
    at = start
    while at < end:
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield number, wire, at, value
            continue
        if wire == _SIZED:
            length, at = _varint(data, at)
        elif wire in {_FIXED64, _FIXED32}:
            length = 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {wire}")
        if length > end - at:
            raise ValueError("a field is longer than what it is in")
        yield number, wire, at, length
        at += length


def _packed(data: bytes, start: int, end: int) -> Iterator[int]:
    at = start
    while at < end:
        value, at = _varint(data, at)
        yield value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of 7 bits to a byte, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError("a number without an end")
