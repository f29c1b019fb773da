"""Which groups a name or a pattern means."""

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

from lilliput.core.spelling import did_you_mean
from lilliput.graph import ChannelGroup

__all__ = ["named", "ratios_by_group"]

_PARTS = ":parts"


def named(patterns: Iterable[str], groups: Sequence[ChannelGroup]) -> list[str]:
    """Names of the groups that names or patterns fit, in the order of the groups.

    Raises:
        ValueError: One fits no group; gives the nearest name.
    """
    chosen = {name for pattern in patterns for name in _fitting(pattern, groups)}
    return [group.name for group in groups if group.name in chosen]


def ratios_by_group(
    ratios: Mapping[str, float], groups: Sequence[ChannelGroup]
) -> dict[str, float]:
    """The ratio of each group that is named: a name counts before a pattern, then the last.

    Raises:
        ValueError: A name or pattern fits no group; gives the nearest name.
    """
    found: dict[str, float] = {}
    for pattern, ratio in ratios.items():
        found |= dict.fromkeys(_fitting(pattern, groups), ratio)
    return found | {name: ratio for name, ratio in ratios.items() if name in found}


def _fitting(pattern: str, groups: Sequence[ChannelGroup]) -> list[str]:
    """Exact names win; a pattern means widths, unless it says that it means parts."""
    names = [group.name for group in groups]
    if pattern in names:
        return [pattern]
    widths = [g.name for g in groups if g.kind == "channels" or _PARTS in pattern]
    fitting = [name for name in widths if fnmatchcase(name, pattern)]
    if not fitting:
        raise ValueError(f"no channel group {pattern!r}; {did_you_mean(pattern, names)}")
    return fitting
