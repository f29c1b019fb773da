"""Whether this machine can run what is made for a target."""

import platform

from lilliput.core import Target, UnsupportedError

__all__ = ["check_host", "runs_here"]

_NAMES = {"Darwin": "macOS"}


def runs_here(target: Target) -> bool:
    """Whether the target's runtime exists for this machine's system."""
    return target.system in {"", platform.system()}


def check_host(target: Target) -> None:
    """Refuses, before any work, to run files where their runtime does not exist.

    Raises:
        UnsupportedError: Names both systems, and the way out.
    """
    if not runs_here(target):
        here, there = (_NAMES.get(name, name) for name in (platform.system(), target.system))
        raise UnsupportedError(
            f"{target.name!r} runs on {there} alone, and this is {here}: export can write its file "
            f"here, but measure it on {there}, or choose a target that runs here"
        )
