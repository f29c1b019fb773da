"""Bytes whose pieces come again: LZMA, and where it is likely to pay.

The first byte says LZMA's settings, as the `.lzma` format does.
"""

import lzma
from typing import Any

import numpy as np
import numpy.typing as npt

from lilliput.core import PackError

__all__ = ["expanded", "is_likely_squeezed", "squeezed"]

_SETTINGS = ((3, 0, 0), (3, 0, 2), (0, 2, 2))
"""Literal context bits, literal position bits and position bits that are tried."""
_DICTIONARY = 1 << 22
_LONG = 1 << 20
"""Bytes up to which all settings are tried; of more, the one that is best for a part."""
_SHORT = 1 << 13
"""Bytes of an array below which little is to be won, and updates would lose more."""
_SAMPLE = 1 << 15
_NEARLY = 1.045
"""A sample with so many times the bytes may still belong to an array with fewer."""
_FAR = 1.25
"""Likewise, where pieces come again outside the sample."""
_CHUNK = 64
_AGAIN = 0.02
"""Share of an array's pieces from which it is likely that longer ones come again."""

Bytes = npt.NDArray[np.uint8]


def squeezed(raw: bytes) -> bytes:
    """Bytes in the settings that make them shortest."""
    settings: tuple[tuple[int, int, int], ...] = _SETTINGS
    if len(raw) > _LONG:
        sample = raw[len(raw) // 2 :][: _LONG // 4]
        settings = (min(_SETTINGS, key=lambda own: len(_squeezed(sample, *own))),)
    return min((_squeezed(raw, *own) for own in settings), key=len)


def _squeezed(raw: bytes, context: int, position: int, alignment: int, **others: int) -> bytes:
    settings = context + 9 * (position + 5 * alignment)
    data = lzma.compress(raw, lzma.FORMAT_RAW, filters=_filters(settings, **others))
    return bytes([settings]) + data


def _filters(settings: int, preset: int = 9 | lzma.PRESET_EXTREME) -> list[dict[str, Any]]:
    return [
        {
            "id": lzma.FILTER_LZMA1,
            "preset": preset,
            "dict_size": _DICTIONARY,
            "lc": settings % 9,
            "lp": settings // 9 % 5,
            "pb": settings // 45,
        }
    ]


def expanded(data: bytes, size: int, what: str) -> bytes:
    """The bytes again, at most `size` of them.

    Raises:
        PackError: They are damaged.
    """
    if not data or data[0] >= 9 * 5 * 5:
        raise PackError(f"{what} has no settings of LZMA")
    try:
        unpacker = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_filters(data[0]))
        return unpacker.decompress(data[1:], size)
    except (lzma.LZMAError, EOFError) as error:
        raise PackError(f"{what} is damaged: {error}") from error


def is_likely_squeezed(raw: Bytes, taken: int) -> bool:
    """Whether LZMA is likely to make fewer bytes of an array than another coding did.

    Args:
        raw: The array's.
        taken: By the other coding.
    """
    if raw.size < _SHORT:
        return False
    start = max(0, raw.size - _SAMPLE) // 2 // _CHUNK * _CHUNK
    sample = raw[start : start + _SAMPLE].tobytes()
    found = min(len(_squeezed(sample, *own, preset=1)) for own in _SETTINGS[:2])
    times = found / len(sample) / (taken / raw.size)
    return times < _NEARLY or (times < _FAR and _share_again(raw) > _AGAIN)


def _share_again(raw: Bytes) -> float:
    """The share of pieces of 64 bytes that were there before; those of one word do not count."""
    words = raw[: raw.size // _CHUNK * _CHUNK].view(np.uint64).reshape(-1, _CHUNK // 8)
    odd = np.arange(1, 2 * words.shape[1], 2, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    sums = (words @ odd)[(words != words[:, :1]).any(1)]
    return (len(sums) - len(np.unique(sums))) / max(1, len(words))
