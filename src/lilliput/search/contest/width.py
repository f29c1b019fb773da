"""The width at which the plain network's file is no larger than the pruned one's."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from lilliput.core import Model, Target, UnsupportedError, run
from lilliput.core.progress import track
from lilliput.edit import Narrow
from lilliput.export import export

__all__ = ["file_bytes", "widest"]

_STEPS = 256
"""Widths are tried in steps of this part of the whole: finer than a channel up to 256 of them."""


def widest(model: Model, limit: int, size: Callable[[Model], int]) -> Narrow:
    """The widest plain network that is no larger than the limit, found by bisection.

    Args:
        model: The original.
        limit: In the unit of `size`.
        size: Of a network; asked once for each architecture.

    Raises:
        UnsupportedError: Even one channel of each layer is too much.
    """
    known: dict[tuple[tuple[int, ...], ...], int] = {}

    def fits(steps: int) -> bool:
        narrow = run(model, [_width(steps)])
        shapes = tuple(tuple(p.shape) for p in narrow.module.parameters())
        if shapes not in known:
            known[shapes] = size(narrow)
        return known[shapes] <= limit

    low, high = 0, _STEPS + 1
    for _ in track(range(high.bit_length()), "width of the same bytes"):
        middle = (low + high) // 2
        if middle == low:
            break
        low, high = (middle, high) if fits(middle) else (low, middle)
    if not low:
        raise UnsupportedError(
            f"no width of the plain network has a file of at most {limit:,} bytes, the pruned "
            "one's; ask for a lower ratio"
        )
    return _width(low)


def file_bytes(model: Model, target: Target) -> int:
    """Of the file that a network is exported to."""
    with tempfile.TemporaryDirectory() as folder:
        return export(model, target, Path(folder)).size_bytes


def _width(steps: int) -> Narrow:
    return Narrow(alpha=steps / _STEPS, is_fresh=False)
