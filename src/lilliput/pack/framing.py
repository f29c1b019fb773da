"""Fields as a header holds them: how long they are, 0 or 1, and they as they are or deflated."""

import zlib

from lilliput.core import PackError
from lilliput.pack.fields import FieldReader, FieldWriter

__all__ = ["framed", "unframed"]

_MOST_RAW_HEADER = 1 << 26
_FREE_HEADER, _MOST_RATIO = 4096, 32
"""Bytes that deflated fields may have been: so many, and so many for each byte."""
_SHORT = 256
"""Bytes of fields that are left as they are."""
_BYTES_PER_FIELD = 64
"""Memory that a byte of the header may take once it is read."""


def framed(plain: bytes) -> bytes:
    """The header of fields."""
    packer = zlib.compressobj(9, wbits=-15)
    deflated = packer.compress(plain) + packer.flush()
    head = FieldWriter()
    head.number(len(plain))
    if len(plain) < _SHORT or len(deflated) >= len(plain):
        return bytes(head.data) + b"\0" + plain
    return bytes(head.data) + b"\1" + deflated


def unframed(data: bytes, what: str, most_bytes: int) -> FieldReader:
    """The fields of a header.

    Args:
        data: The header.
        what: Whose it is, for errors.
        most_bytes: Memory that it may take.

    Raises:
        PackError: It is damaged, or takes more.
    """
    head = FieldReader(data, what)
    size = head.number(min(_MOST_RAW_HEADER, _FREE_HEADER + _MOST_RATIO * len(data)))
    if size * _BYTES_PER_FIELD > most_bytes:
        raise PackError(
            f"{what} may take {size * _BYTES_PER_FIELD:,} bytes when read, at most {most_bytes:,} "
            "are allowed; allow more with most_bytes (--most-bytes) if you trust it"
        )
    is_deflated = head.number(1)
    raw = _inflated(data[head.at :], size, what) if is_deflated else data[head.at :]
    if len(raw) != size:
        raise PackError(f"{what} is not as long as it says, {size:,} bytes")
    return FieldReader(raw, what)


def _inflated(data: bytes, size: int, what: str) -> bytes:
    packer = zlib.decompressobj(wbits=-15)
    try:
        raw = packer.decompress(data, size + 1)
    except zlib.error as error:
        raise PackError(f"{what} is damaged: {error}") from error
    if not packer.eof or packer.unused_data:
        raise PackError(f"{what} is not as long as it says, {size:,} bytes")
    return raw
