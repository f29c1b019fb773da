"""Writes `tables.h`: the window, the turns of the FFT, and the bands, in integers."""

import textwrap
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
FRAME, BANDS, RATE, LOWEST = 256, 20, 8000, 100


def mel(hertz: float | Array) -> Array:
    """Source: O'Shaughnessy 1987, "Speech Communication", 2595 log10(1 + f / 700)."""
    return np.asarray(2595 * np.log10(1 + np.asarray(hertz) / 700))


def bands() -> tuple[Array, Array]:
    """For each bin the band whose middle lies below it, 0 for none, and how far the next rises."""
    ends = np.linspace(mel(LOWEST), mel(RATE / 2), BANDS + 2)
    place = (mel(np.arange(FRAME // 2) * RATE / FRAME) - ends[0]) / (ends[1] - ends[0])
    place = np.clip(place, 0, BANDS + 1 - 1e-6)
    return np.floor(place).astype(int), place % 1


def text() -> str:
    """All as C."""
    half = np.arange(FRAME // 2)
    below, risen = bands()
    arrays = {
        "int16_t window": 32767 * (0.5 - 0.5 * np.cos(2 * np.pi * (half + 0.5) / FRAME)),
        "int16_t cosines": 32767 * np.cos(2 * np.pi * half / FRAME),
        "int16_t sines": 32767 * np.sin(2 * np.pi * half / FRAME),
        "uint8_t below": below,
        "uint16_t rising": 256 * risen,
    }
    lines = ["/* Made by tables.py. */", "#include <stdint.h>", ""]
    for name, values in arrays.items():
        numbers = ", ".join(str(int(v)) for v in np.round(values))
        numbers = textwrap.fill(numbers, 96, initial_indent="    ", subsequent_indent="    ")
        lines += [f"static const {name}[{FRAME // 2}] = {{\n{numbers}\n}};", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    Path(__file__).with_name("tables.h").write_text(text())
