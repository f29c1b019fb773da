"""The way out of a name that does not exist."""

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["did_you_mean"]

_MOST_SHOWN = 10


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """For the end of an error: the nearest names, or else those there are.

    Such as `did you mean 'conv1' or 'conv2'?` and `known: onnx, litert`.
    """
    names = list(known)
    near = get_close_matches(wrong, names)
    if near:
        return f"did you mean {' or '.join(map(repr, near))}?"
    rest = len(names) - _MOST_SHOWN
    shown = ", ".join(names[:_MOST_SHOWN]) or "none"
    return f"known: {shown}{f' and {rest} more' if rest > 0 else ''}"
