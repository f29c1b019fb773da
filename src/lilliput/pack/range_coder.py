"""Binary range coding: decisions whose probabilities may change from one to the next.

Source: Martin 1979, "Range encoding: an algorithm for removing redundancy from a digitised
message". Here the whole code is one number, so that carries take care of themselves.
"""

from lilliput.core import PackError

__all__ = ["BitCoder", "BitDecoder", "BitEncoder"]

_WORD = 1 << 32
_LEAST = 1 << 24


class BitEncoder:
    """Collects decisions."""

    def __init__(self) -> None:
        self._low, self._range, self._bytes = 0, _WORD - 1, 4

    def decide(self, share: int, bit: int) -> int:
        """Codes a decision.

        Args:
            share: Probability of 1, in 65,536ths.
            bit: What was decided.
        """
        bound = (self._range >> 16) * share
        self._low += 0 if bit else bound
        self._range = bound if bit else self._range - bound
        while self._range < _LEAST:
            self._low <<= 8
            self._range <<= 8
            self._bytes += 1
        return bit

    def end(self) -> bytes:
        """The code."""
        return self._low.to_bytes(self._bytes, "big")


class BitDecoder:
    """Gives decisions back.

    Args:
        data: The code.
        what: Whose it is, for errors.
    """

    def __init__(self, data: bytes, what: str) -> None:
        self._data, self._what = data, what
        self._code, self._range, self._at = 0, _WORD - 1, 0
        for _ in range(4):
            self._take()

    def _take(self) -> None:
        if self._at == len(self._data):
            raise PackError(f"{self._what} is damaged: it is cut off")
        self._code = (self._code << 8 | self._data[self._at]) & (_WORD - 1)
        self._at += 1

    def decide(self, share: int, bit: int) -> int:  # noqa: ARG002
        """The next decision, whatever `bit` is."""
        bound = (self._range >> 16) * share
        found = self._code < bound
        self._code -= 0 if found else bound
        self._range = bound if found else self._range - bound
        while self._range < _LEAST:
            self._range <<= 8
            self._take()
        return int(found)

    def end(self) -> None:
        """Makes sure that all was decoded.

        Raises:
            PackError: Bytes are left, or the code is not as it is left by an encoder.
        """
        if self._code or self._at != len(self._data):
            raise PackError(f"{self._what} is damaged: its code does not end where it must")


BitCoder = BitEncoder | BitDecoder
