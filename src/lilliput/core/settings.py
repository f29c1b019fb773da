"""Settings of the wrong kind, refused before any work begins."""

from typing import Any

__all__ = ["check_kind", "check_names"]


def check_names(argument: str, names: Any) -> None:
    """Refuses a text where a tuple of names is meant.

    Raises:
        TypeError: Says what was given.
    """
    if isinstance(names, str):
        raise TypeError(f"{argument} must be a tuple of names, got the text {names!r}")


def check_kind(argument: str, value: Any, kind: type, example: str) -> None:
    """Refuses what is no object of a kind, above all its name or its class.

    Args:
        argument: What the caller calls it.
        value: What was given.
        kind: A class, or a protocol that can be checked.
        example: How one is written, such as `Taylor(task)`.

    Raises:
        TypeError: Says what was given and what would do.
    """
    if isinstance(value, type):
        raise TypeError(
            f"{argument} must be an object such as {example}, got the class {value.__name__}"
        )
    if not isinstance(value, kind):
        kind_given = type(value).__name__
        raise TypeError(
            f"{argument} must be an object such as {example}, got {value!r} ({kind_given})"
        )
