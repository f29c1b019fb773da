"""Shapes that weights have, as tables of integers: generalized Gaussians of many widths.

Everything here is integer arithmetic, so that each machine makes the same tables. The tails in
`decoder/shapes.inc` are those of densities proportional to exp(-(|x| / a)^b) with a mean distance
of 1 from the middle, for b = 0.5, 0.7, 1, 1.4, 2 and 4, in units of 2^-24, at 2^o (1 + m / 16) for
o = -8 to 4 and m = 0 to 15, and at 32.

Source: Nadarajah 2005, "A generalized normal distribution", for the density and its tail.
"""

import re
from functools import cache
from importlib.resources import files

import numpy as np
import numpy.typing as npt

from lilliput.pack.tokens import Alphabet

__all__ = ["SCALES", "SHAPES", "masses"]

SHAPES = 6
SCALES = 128
"""Widths: a mean distance of 2^((i - 12) / 4)."""
_ONE = 1 << 24
_QUARTERS = (1 << 30, 902905651, 759250125, 638450708)
"""2^30, divided by the fourth root of 2 none to three times."""
_OCTAVE = 16
_LOWEST, _HIGHEST = 12, 25
"""Binary digits of the positions where the tails begin and end."""

Numbers = npt.NDArray[np.int64]


@cache
def tails() -> Numbers:
    """The tail of each shape at each point, of shape (shapes, points)."""
    text = (files("lilliput.pack") / "decoder" / "shapes.inc").read_text()
    return np.array(re.findall(r"\d+", text), np.int64).reshape(SHAPES, -1)


def _tail(halves: Numbers, shape: Numbers, scale: Numbers) -> Numbers:
    """Mass beyond so many halves of a unit on both sides, in units of 2^-24."""
    quarter = np.array(_QUARTERS, np.uint64)[scale & 3]
    octave = (8 + (scale >> 2)).astype(np.uint64)
    at = ((halves.astype(np.uint64) * quarter) >> octave).astype(np.int64)
    inside = np.clip(at, 1 << _LOWEST, (1 << _HIGHEST) - 1)
    digits = np.frexp(inside.astype(np.float64))[1] - 1  # exact: they are below 2^25
    shift = digits - 4
    cell = (digits - _LOWEST) * _OCTAVE + (inside >> shift) - _OCTAVE
    rest = inside & ((1 << shift) - 1)
    here, next_ = tails()[shape, cell], tails()[shape, cell + 1]
    found = here - (((here - next_) * rest) >> shift)
    near = _ONE - (((_ONE - tails()[shape, 0]) * at) >> _LOWEST)
    found = np.where(at < 1 << _LOWEST, near, found)
    return np.where(at >= 1 << _HIGHEST, 0, found)


def masses(alphabet: Alphabet, shape: Numbers | int, scale: Numbers | int) -> Numbers:
    """How probable each token is, in units of 2^-24.

    A token of its own has half of the mass between the halves on both sides of its distance, and
    the middle all of it; other tokens have what is between their first folded number and the next
    token's.

    Args:
        alphabet: Whose tokens, the last axis of the result.
        shape: Which; an array of shapes where many are wanted.
        scale: Which width, or widths.
    """
    which = np.asarray(shape)[..., None], np.asarray(scale)[..., None]
    direct = np.arange(alphabet.direct)
    distance = (direct + 1) >> 1
    inner, outer = np.maximum(2 * distance - 1, 0), 2 * distance + 1
    own = (_tail(inner, *which) - _tail(outer, *which)) >> (distance > 0)
    edges = _tail(alphabet.lows, *which)
    return np.concatenate([own, edges[..., :-1] - edges[..., 1:]], -1)
