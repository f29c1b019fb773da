"""Where the parts of a new array were in the old one, when parts came or went."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lilliput.core import PackError
from lilliput.pack.codings import Array
from lilliput.pack.fields import FieldReader, FieldWriter

__all__ = ["Part", "lined_up", "parts_of", "read_parts", "write_parts"]

_WINDOW_BYTES = 16
_STRIDE = 4
"""Of the old array's windows, every so many is looked for."""
_MOST_ITEMS = 1 << 22
"""Of arrays that are compared: larger ones take too long."""


@dataclass(frozen=True)
class Part:
    """Neighbours in the new array.

    Args:
        length: Items.
        source: Where they were in the old one; None where they are new.
    """

    length: int
    source: int | None = None


def parts_of(old: Array, new: Array) -> tuple[Part, ...]:
    """Finds the longest runs of the old array in the new one, from front to back.

    Args:
        old: One axis.
        new: One axis, of the same type.
    """
    if max(old.size, new.size) > _MOST_ITEMS:
        return (Part(new.size),)
    return tuple(_parts(old, new))


def _parts(old: Array, new: Array) -> Iterator[Part]:
    size = max(2, _WINDOW_BYTES // old.itemsize)
    known = {old[at : at + size].tobytes(): at for at in range(0, old.size - size + 1, _STRIDE)}
    at = plain = 0
    while at + size <= new.size:
        source = known.get(new[at : at + size].tobytes())
        if source is None:
            at += 1
            continue
        back = _same(old[:source][::-1], new[plain:at][::-1])
        length = size + _same(old[source + size :], new[at + size :]) + back
        at, source = at - back, source - back
        if at > plain:
            yield Part(at - plain)
        yield Part(length, source)
        at = plain = at + length
    if plain < new.size:
        yield Part(new.size - plain)


def _same(one: Array, other: Array) -> int:
    """How many first items of both are the same."""
    count = min(one.size, other.size)
    differs = one[:count].view(f"u{one.itemsize}") != other[:count].view(f"u{one.itemsize}")
    return int(np.argmax(differs)) if differs.any() else count


def lined_up(old: Array, parts: Sequence[Part], count: int, what: str) -> tuple[Array, Array]:
    """What each new item was, 0 where it is new; and whether it is new.

    Raises:
        PackError: Parts are not of the arrays' sizes.
    """
    is_new: npt.NDArray[np.bool_] = np.ones(count, bool)
    found, at = np.zeros(count, old.dtype), 0
    for part in parts:
        if part.length > count - at:
            raise PackError(f"{what} has parts beyond its end")
        if part.source is not None:
            if part.source + part.length > old.size:
                raise PackError(f"{what} has parts beyond the end of what it was")
            found[at : at + part.length] = old[part.source : part.source + part.length]
            is_new[at : at + part.length] = False
        at += part.length
    if at != count:
        raise PackError(f"{what} has parts for {at:,} of its {count:,} items")
    return found, is_new


def write_parts(parts: Sequence[Part]) -> bytes:
    """The length of each, then 0, or its source and 1."""
    out = FieldWriter()
    for part in parts:
        out.number(part.length)
        out.number(0 if part.source is None else part.source + 1)
    return bytes(out.data)


def read_parts(data: bytes, what: str) -> list[Part]:
    """The parts that `write_parts` wrote.

    Raises:
        PackError: They are cut off.
    """
    fields, found = FieldReader(data, what), []
    while fields.at < len(data):
        length, source = fields.number(1 << 48), fields.number(1 << 48)
        found.append(Part(length, source - 1 if source else None))
    return found
