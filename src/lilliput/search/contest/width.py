"""The width at which the plain network's file is no larger than the pruned one's."""

import tempfile
from pathlib import Path

from lilliput.core import Model, Target, UnsupportedError, run
from lilliput.core.progress import track
from lilliput.edit import Narrow
from lilliput.export import export

__all__ = ["narrowed"]

_STEPS = 256
"""Widths are tried in steps of this part of the whole: finer than a channel up to 256 of them."""


def narrowed(model: Model, pruned: Model, target: Target) -> Narrow:
    """The widest plain network whose file is at most as large as the pruned one's.

    Found by bisection, with files that are written: some nine of them.

    Args:
        model: The original.
        pruned: The network whose file is the limit.
        target: In whose format files are written.

    Raises:
        UnsupportedError: Even one channel of each layer takes more bytes.
    """
    limit = size_of(pruned, target)
    fits, too_wide = 0, _STEPS + 1
    for _ in track(range((_STEPS + 1).bit_length()), "width of the same bytes"):
        middle = (fits + too_wide) // 2
        if middle == fits:
            break
        if size_of(run(model, [_width(middle)]), target) <= limit:
            fits = middle
        else:
            too_wide = middle
    if not fits:
        raise UnsupportedError(
            f"no width of the plain network has a file of at most {limit:,} bytes, the pruned "
            "one's; ask for a lower ratio"
        )
    return _width(fits)


def size_of(model: Model, target: Target) -> int:
    """Bytes of a network's file."""
    with tempfile.TemporaryDirectory() as folder:
        return export(model, target, Path(folder)).size_bytes


def _width(steps: int) -> Narrow:
    return Narrow(alpha=steps / _STEPS, is_fresh=False)
