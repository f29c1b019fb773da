"""Messages between a process and the worker it measures in: a header in JSON, then plain arrays.

A frame is 4 bytes `LILM`, the length of the header (uint32), the header, and the bytes of each
array that the header's `arrays` lists by type and shape. Integers are little-endian.
"""

import json
import math
import struct
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

__all__ = ["Array", "FrameError", "receive", "send"]

Array = np.ndarray[Any, np.dtype[Any]]

_MAGIC = b"LILM"
_MAX_HEADER = 1 << 20
_MAX_ARRAYS = 256
_MAX_ARRAY_BYTES = 1 << 31
_KINDS = "biufc"  # plain numbers: no objects, nothing to unpickle


@runtime_checkable
class Readable(Protocol):
    """A stream to read from, `size` bytes unless it ends before."""

    def read(self, size: int, /) -> bytes: ...


@runtime_checkable
class Writable(Protocol):
    """A stream to write to."""

    def write(self, data: Any, /) -> int: ...

    def flush(self) -> None: ...


class FrameError(ValueError):
    """What came is no frame, or a frame is too large."""


def send(stream: Writable, header: dict[str, Any], arrays: Sequence[Array] = ()) -> None:
    """Writes one frame.

    Raises:
        FrameError: An array is too large, or not of numbers.
    """
    for array in arrays:
        if array.nbytes > _MAX_ARRAY_BYTES or array.dtype.kind not in _KINDS:
            raise FrameError(
                f"cannot send an array of {array.nbytes:,} bytes of {array.dtype}; at most "
                f"{_MAX_ARRAY_BYTES:,} bytes of numbers at once: use smaller batches"
            )
    listed = [{"dtype": array.dtype.str, "shape": list(array.shape)} for array in arrays]
    text = json.dumps({**header, "arrays": listed}).encode()
    stream.write(_MAGIC + struct.pack("<I", len(text)) + text)
    for array in arrays:
        stream.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    stream.flush()


def receive(stream: Readable) -> tuple[dict[str, Any], tuple[Array, ...]]:
    """Reads one frame.

    Raises:
        EOFError: The stream ended.
        FrameError: What came is no frame.
    """
    magic, length = struct.unpack("<4sI", _exactly(stream, 8))
    if magic != _MAGIC or length > _MAX_HEADER:
        raise FrameError(f"a frame begins with {_MAGIC!r} and its length, got {magic!r}")
    try:
        header = json.loads(_exactly(stream, length))
        listed = [
            (np.dtype(str(a["dtype"])), tuple(map(int, a["shape"]))) for a in header["arrays"]
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise FrameError(f"a frame's header is not readable: {error}") from error
    if len(listed) > _MAX_ARRAYS:
        raise FrameError(f"a frame holds at most {_MAX_ARRAYS} arrays, got {len(listed)}")
    return header, tuple(_array(stream, dtype, shape) for dtype, shape in listed)


def _array(stream: Readable, dtype: "np.dtype[Any]", shape: tuple[int, ...]) -> Array:
    size = math.prod(shape) * dtype.itemsize
    if dtype.kind not in _KINDS or min(shape, default=0) < 0 or size > _MAX_ARRAY_BYTES:
        raise FrameError(f"a frame holds an array of type {dtype} and shape {list(shape)}")
    return np.frombuffer(_exactly(stream, size), dtype).reshape(shape)


def _exactly(stream: Readable, count: int) -> bytearray:
    """So many bytes; a buffer that may be written, as PyTorch wants it."""
    data = stream.read(count)
    if len(data) < count:
        raise EOFError(f"the stream ended after {len(data)} of {count} bytes")
    return bytearray(data)
