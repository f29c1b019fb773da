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
"""Items that are not zero for each color, at least: zeros alone are told in fewer bits."""
_LOOKED_AT = 16
"""Rows, or one more, that tell whether to look at all."""
_AT_ONCE = 1 << 16


def palettes_of(items: Items, rows: int) -> tuple[Integers, Items, Integers] | None:
    """How many colors each row has, they themselves, and each item's place among its row's.

    Args:
        items: Bits of floats, row by row, as integers without a sign.
        rows: How many; all are as long.

    Returns:
        None where there is nothing to share.
    """
    if rows < 2 or len(items) % rows or len(items) < _TIMES * rows:
        return None
    table = items.reshape(rows, -1)
    if _sorted(table[:: -(-rows // _LOOKED_AT)]) is None:
        return None
    found = _sorted(table)
    if found is None:
        return None
    order, ordered, is_first = found
    places = np.empty(table.shape, np.int32)
    np.put_along_axis(places, order, is_first.cumsum(1, dtype=np.int32) - 1, 1)
    return is_first.sum(1, dtype=np.int32), ordered[is_first], places.reshape(-1)


def _sorted(table: Items) -> tuple[npt.NDArray[np.intp], Items, npt.NDArray[np.bool_]] | None:
    """Where the items of each row come from, they from the least to the greatest, and first ones.

    Most places are then in the middle. None where the rows have too many colors.
    """
    top = table.dtype.type(1 << (8 * table.itemsize - 1))
    order = np.argsort(np.where(table & top, ~table, table | top), axis=1)
    ordered = np.take_along_axis(table, order, 1)
    is_first = np.ones(table.shape, np.bool_)
    np.not_equal(ordered[:, 1:], ordered[:, :-1], out=is_first[:, 1:])
    sizes = np.count_nonzero(is_first, 1)
    if sizes.max() > _MOST or _TIMES * (sizes.sum() - len(table)) > np.count_nonzero(table):
        return None
    return order, ordered, is_first


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
