"""A palette for each row: clustered weights whose channels were scaled share values row by row."""

from typing import Any

import numpy as np
import numpy.typing as npt

from lilliput.core import PackError
from lilliput.pack.tokens import Integers

__all__ = ["painted", "palettes_of"]

Items = npt.NDArray[Any]

_MOST = 256
"""Colors of a row."""
_TIMES = 8
"""Items for each color, at least."""
_AT_ONCE = 1 << 16


def palettes_of(items: Items, rows: int) -> tuple[Integers, Items, Integers] | None:
    """How many colors each row has, they themselves, and each item's place among its row's.

    Args:
        items: Bits of floats, row by row, as integers without a sign.
        rows: How many; all are as long.

    Returns:
        None where there is nothing to share.
    """
    if rows < 2 or len(items) % rows or not len(items):
        return None
    table = items.reshape(rows, -1)
    if len(np.unique(table[0])) > min(_MOST, table.shape[1] // 2):
        return None
    sizes, colors, places = [], [], np.empty(table.shape, np.int32)
    for row, own in enumerate(table):
        found = _by_value(np.unique(own))
        sizes.append(len(found))
        colors.append(found)
        order = np.argsort(found)
        places[row] = order[np.searchsorted(found, own, sorter=order)]
    if max(sizes) > _MOST or sum(sizes) * _TIMES > len(items):
        return None
    return np.array(sizes, np.int32), np.concatenate(colors), places.reshape(-1)


def _by_value(bits: Items) -> Items:
    """Floats from the least to the greatest, so that most places are in the middle."""
    top = bits.dtype.type(1 << (8 * bits.itemsize - 1))
    keys = np.where(bits & top, ~bits, bits | top)
    found: Items = bits[np.argsort(keys)]
    return found


def painted(sizes: Items, colors: Items, places: Items, what: str) -> Items:
    """The items again.

    Raises:
        PackError: Rows, palettes and places do not fit each other.
    """
    rows = len(sizes)
    if not rows or len(places) % rows or int(sizes.sum(dtype=np.int64)) != len(colors):
        raise PackError(f"{what} has palettes that do not fit its rows")
    whole, columns = sizes.astype(np.int64), max(1, len(places) // rows)
    first = np.cumsum(whole) - whole
    found = np.empty(len(places), colors.dtype)
    for at in range(0, len(places), _AT_ONCE):
        own = places[at : at + _AT_ONCE]
        row = np.arange(at, at + len(own)) // columns
        if (own >= whole[row]).any():
            raise PackError(f"{what} has a place that its palette has not")
        found[at : at + len(own)] = colors[first[row] + own]
    return found
