"""Interleaved range ANS: several coders take turns, symbol by symbol, and share one row of words.

Each coder's state is a number of 32 bits, 2^16 at least; a symbol of frequency f of 2^12 makes it
longer by 12 - log2(f) bits, and words of 16 bits leave it where it would overflow. Decoding undoes
this from the last symbol to the first, so symbols are encoded from the last to the first.

Source: Duda 2013, "Asymmetric numeral systems", arXiv 1311.2540, for the coder; Giesen 2014,
"Interleaved entropy coders", arXiv 1402.3392, for the turns.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lilliput.core import PackError
from lilliput.pack.tables import TOTAL
from lilliput.pack.tokens import Words

__all__ = ["Decoder", "encode", "lanes_for"]

_LOW = 1 << 16
_MOST_LANES = 8
_SYMBOLS_A_LANE = 8192
_BITS_A_LANE = 4096
"""Of the code, so that states are less than a hundredth of it."""

Symbols = tuple[Words, Words]
"""Frequencies and starts (the sum of the frequencies of tokens before), symbol by symbol."""


def lanes_for(count: int, bits: float) -> int:
    """How many coders take turns: a power of two, more where there is more to code.

    Args:
        count: Symbols.
        bits: What they take.
    """
    share = min(count // _SYMBOLS_A_LANE, int(bits) // _BITS_A_LANE)
    return 1 << min(_MOST_LANES.bit_length() - 1, share.bit_length())


def encode(blocks: Sequence[Symbols], lanes: int) -> list[bytes]:
    """The states and words of blocks, which are coded side by side.

    Args:
        blocks: Best of nearly the same length.
        lanes: Coders for each block.
    """
    steps = max(-(-len(frequencies) // lanes) for frequencies, _ in blocks)
    frequency = np.full((steps, len(blocks), lanes), TOTAL, np.uint32)
    start = np.zeros_like(frequency)
    for place, symbols in enumerate(blocks):
        for table, values, filler in zip((frequency, start), symbols, (TOTAL, 0), strict=True):
            padded = np.full(steps * lanes, filler, np.uint32)
            padded[: len(values)] = values
            table[:, place] = padded.reshape(steps, lanes)
    states, words, leaves = _run(frequency.reshape(steps, -1), start.reshape(steps, -1))
    shape = (steps, len(blocks), lanes)
    words, leaves = words.reshape(shape), leaves.reshape(shape)
    states = states.reshape(shape[1:]).astype("<u4")
    return [
        states[place].tobytes() + words[:, place][leaves[:, place]].astype("<u2").tobytes()
        for place in range(len(blocks))
    ]


def _run(
    frequency: Words, start: Words
) -> tuple[Words, npt.NDArray[np.uint16], npt.NDArray[np.bool_]]:
    """Codes rows of symbols from the last to the first; gives which words leave at each."""
    most = (frequency << np.uint32(20)) - np.uint32(1)
    growth = np.uint32(TOTAL) - frequency
    words = np.empty(frequency.shape, np.uint16)
    leaves = np.empty(frequency.shape, bool)
    state = np.full(frequency.shape[1], _LOW, np.uint32)
    quotient = np.empty_like(state)
    for row in range(len(frequency) - 1, -1, -1):
        leaving = np.greater(state, most[row], out=leaves[row])
        words[row] = state
        np.right_shift(state, 16, out=state, where=leaving)
        np.floor_divide(state, frequency[row], out=quotient)
        quotient *= growth[row]
        state += quotient
        state += start[row]
    return state, words, leaves


class Decoder:
    """Decodes one block in NumPy: the oracle of the C decoder, and its stand-in.

    Args:
        data: States and words.
        lanes: Coders that take turns.
        what: Whose they are, for errors.
    """

    def __init__(self, data: bytes, lanes: int, what: str) -> None:
        if len(data) < 4 * lanes or len(data) % 2:
            raise PackError(f"{what} is cut off")
        self.state = np.frombuffer(data, "<u4", lanes).astype(np.uint32)
        self.words = np.frombuffer(data, "<u2", offset=4 * lanes).astype(np.uint32)
        self.lanes, self.what = lanes, what
        self.done = self.at = 0

    def tokens(self, which: npt.NDArray[np.intp], frequencies: Words) -> npt.NDArray[np.uint8]:
        """The next tokens.

        Args:
            which: The table of each.
            frequencies: Of each token, table by table.
        """
        ends = np.cumsum(frequencies, 1)
        starts = (ends - frequencies).astype(np.uint32)
        slots = np.stack([np.repeat(np.arange(len(row)), row) for row in frequencies])
        found = np.empty(len(which), np.uint8)
        for rows, lanes in self._turns(len(which)):
            state, table = self.state[lanes], which[rows]
            slot = state & np.uint32(TOTAL - 1)
            token = slots[table, slot]
            found[rows] = token
            state = frequencies[table, token] * (state >> 12) + slot - starts[table, token]
            self._next(lanes, state)
        return found

    def raw(self, bits: Words) -> Words:
        """The next numbers of so many bits each, 12 at most."""
        found = np.empty(len(bits), np.uint32)
        for rows, lanes in self._turns(len(bits)):
            state, left = self.state[lanes], np.uint32(12) - bits[rows]
            slot = state & np.uint32(TOTAL - 1)
            found[rows] = slot >> left
            rest = slot & ((1 << left) - 1)
            self._next(lanes, (((state >> 12) << left) + rest).astype(np.uint32))
        return found

    def end(self) -> None:
        """Makes sure that all was decoded.

        Raises:
            PackError: Words are left, or a state is not as it began.
        """
        if self.at != len(self.words) or (self.state != _LOW).any():
            raise PackError(f"{self.what} is damaged: its code does not end where it must")

    def _turns(self, count: int) -> list[tuple[slice, slice]]:
        """Places among the next symbols, and the coders that make them."""
        turns, row = [], 0
        while row < count:
            lane = self.done % self.lanes
            size = min(self.lanes - lane, count - row)
            turns.append((slice(row, row + size), slice(lane, lane + size)))
            row += size
            self.done += size
        return turns

    def _next(self, lanes: slice, state: Words) -> None:
        needs = state < _LOW
        count = int(np.count_nonzero(needs))
        if count > len(self.words) - self.at:
            raise PackError(f"{self.what} is damaged: its code ends too early")
        state[needs] = (state[needs] << 16) | self.words[self.at : self.at + count]
        self.at += count
        self.state[lanes] = state
