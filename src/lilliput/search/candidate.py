"""A recipe to try: what all targets share of it, and what each target needs at the end."""

from collections.abc import Callable
from dataclasses import dataclass

from lilliput.core import Pass, Target

__all__ = ["Candidate"]


def nothing(_: Target) -> tuple[Pass, ...]:
    """The finish of a candidate that is the same for every target."""
    return ()


@dataclass(frozen=True, eq=False)
class Candidate:
    """One recipe of the search.

    Args:
        name: Unique in a run; what tables and pictures call the variant.
        shared: Passes that do not depend on the target: done once for all of them.
        finish: Gives the passes that do (quantization by the target's rules).
        parent: Name of the candidate that this one goes on from, "" for the original.
    """

    name: str
    shared: tuple[Pass, ...] = ()
    finish: Callable[[Target], tuple[Pass, ...]] = nothing
    parent: str = ""
