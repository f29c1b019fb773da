"""An array inside a file: where it is, and what it is of."""

from dataclasses import dataclass

__all__ = ["Piece"]


@dataclass(frozen=True)
class Piece:
    """Bytes of a file that are an array.

    Args:
        name: Of the tensor.
        dtype: One of `lilliput.pack.header.DTYPES`.
        shape: Sizes of its axes.
        start: Its first byte.
        length: Bytes.
        is_side: Whether it belongs to a tensor (scales, ranges) rather than being one.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    length: int
    is_side: bool = False

    @property
    def end(self) -> int:
        """The byte after it."""
        return self.start + self.length
