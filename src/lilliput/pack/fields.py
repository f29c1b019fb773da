"""Numbers and texts one after another in few bytes; reading checks every bound."""

import struct
from collections.abc import Iterable

from lilliput.core import PackError

__all__ = ["FieldReader", "FieldWriter"]

_MOST_BYTES = 10
"""Of a number: 64 bits, 7 to a byte."""


class FieldWriter:
    """Collects fields.

    A number is written 7 bits to a byte, the lowest first; all bytes but the last have bit 7 set.
    """

    def __init__(self) -> None:
        self.data = bytearray()

    def number(self, value: int) -> None:
        """A whole number, 0 or more."""
        assert 0 <= value < 1 << 64  # noqa: S101
        while value > 127:
            self.data.append(value & 127 | 128)
            value >>= 7
        self.data.append(value)

    def numbers(self, values: Iterable[int]) -> None:
        """Whole numbers."""
        append = self.data.append
        for value in values:
            if value < 128:
                append(value)
            else:
                self.number(value)

    def text(self, value: str) -> None:
        """The length in bytes, then UTF-8."""
        self.sized(value.encode())

    def sized(self, value: bytes) -> None:
        """The length, then the bytes."""
        self.number(len(value))
        self.data += value

    def double(self, value: float) -> None:
        """Eight bytes, the lowest first."""
        self.data += struct.pack("<d", value)


class FieldReader:
    """Reads what a `FieldWriter` wrote.

    Args:
        data: All of it.
        what: What it is, for errors.
    """

    def __init__(self, data: bytes, what: str) -> None:
        self.data, self.what, self.at = data, what, 0

    def take(self, size: int) -> bytes:
        """The next bytes.

        Raises:
            PackError: There are fewer.
        """
        if size > len(self.data) - self.at:
            raise PackError(f"{self.what} is cut off: {size:,} bytes are missing at {self.at:,}")
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, most: int = (1 << 64) - 1) -> int:
        """A whole number.

        Raises:
            PackError: It is above `most`, or cut off.
        """
        value = 0
        for place in range(_MOST_BYTES):
            byte = self.take(1)[0]
            value |= (byte & 127) << (7 * place)
            if byte < 128:
                break
        else:
            raise PackError(f"{self.what} has a number without an end at {self.at:,}")
        if value > most:
            raise PackError(f"{self.what} says {value:,} where at most {most:,} can be")
        return value

    def text(self, most: int = 4096) -> str:
        """A text.

        Raises:
            PackError: It is longer than `most` bytes, cut off, or no UTF-8.
        """
        held = self.sized(most)
        try:
            return held.decode()
        except UnicodeDecodeError as error:
            raise PackError(f"{self.what} has a name that is no UTF-8") from error

    def sized(self, most: int) -> bytes:
        """Bytes that say their number.

        Raises:
            PackError: There are more than `most`, or they are cut off.
        """
        return self.take(self.number(most))

    def double(self) -> float:
        """A float of eight bytes."""
        return float(struct.unpack("<d", self.take(8))[0])

    def end(self) -> None:
        """Makes sure that nothing follows.

        Raises:
            PackError: Something does.
        """
        left = len(self.data) - self.at
        if left:
            raise PackError(f"{self.what} has {left:,} bytes after its end")
