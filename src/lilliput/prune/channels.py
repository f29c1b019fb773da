"""Fewer channels: the network becomes narrower, and its files smaller and faster for it."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch

from lilliput.core import Model, Stage
from lilliput.core.spelling import did_you_mean
from lilliput.graph import (
    ChannelGroup,
    ChannelGroups,
    channel_groups,
    remove_channels,
    silence_channels,
    trace,
)
from lilliput.prune.importance import Importance, Magnitude, Scores

__all__ = ["PruneChannels", "silencer"]


@dataclass(frozen=True)
class PruneChannels:
    """Removes the least important channels of every group, physically.

    One ratio means widths: whole heads, which hold the same weights as head widths, go only where
    a mapping names them.

    Args:
        ratio: Share of units to remove, 0 to below 1: of every group, or for each group named.
        importance: Ranks the units.
        multiple_of: Widths that remain are rounded to a multiple of this where the group allows.
        is_global: Rank all groups against each other instead of each by itself; needs one ratio.
        keep: Names of groups to leave as they are.

    Raises:
        ValueError: A ratio is out of range, or a name is no group of the network.
    """

    ratio: float | Mapping[str, float] = 0.5
    importance: Importance = field(default_factory=Magnitude)
    multiple_of: int = 1
    is_global: bool = False
    keep: tuple[str, ...] = ()
    stage: ClassVar[Stage] = "prune"

    def __post_init__(self) -> None:
        ratios = self.ratio if isinstance(self.ratio, Mapping) else {"ratio": self.ratio}
        for name, ratio in ratios.items():
            if not 0 <= ratio < 1:
                raise ValueError(f"{name} must be at least 0 and below 1, got {ratio}")
        if self.multiple_of < 1:
            raise ValueError(f"multiple_of must be 1 or more, got {self.multiple_of}")
        if self.is_global and isinstance(self.ratio, Mapping):
            raise ValueError(
                "is_global ranks all groups by one ratio; give a number, not a mapping"
            )

    def __call__(self, model: Model, /) -> Model:
        found = channel_groups(trace(model))
        drop = self.choose(model, found)
        return remove_channels(model, drop, found) if drop else model

    def choose(self, model: Model, found: ChannelGroups) -> dict[str, list[int]]:
        """Gives the units that go, for each group."""
        groups = self._wanted(found)
        if not groups:
            return {}
        scores = self.importance(model, groups)
        counts = self._rounded(groups, self._counts(groups, scores), model)
        drop = {g.name: scores[g.name].argsort(stable=True)[: counts[g.name]] for g in groups}
        return {name: sorted(units.tolist()) for name, units in drop.items() if len(units)}

    def _wanted(self, found: ChannelGroups) -> list[ChannelGroup]:
        names = [group.name for group in found]
        _check_names(self.keep, names)
        if isinstance(self.ratio, Mapping):
            _check_names(self.ratio, names)
            return [g for g in found if g.name in self.ratio and g.name not in self.keep]
        return [g for g in found if g.kind == "channels" and g.name not in self.keep]

    def _counts(self, groups: Sequence[ChannelGroup], scores: Scores) -> dict[str, int]:
        """How many units go from each group, before rounding of widths."""
        if isinstance(self.ratio, Mapping):
            shares = {g.name: self.ratio[g.name] for g in groups}
        elif not self.is_global:
            shares = dict.fromkeys((g.name for g in groups), self.ratio)
        else:
            every = torch.cat([scores[g.name] for g in groups])
            number = round(self.ratio * len(every))
            limit = every.sort().values[number - 1] if number else -torch.inf
            shares = {g.name: float((scores[g.name] <= limit).float().mean()) for g in groups}
        return {g.name: min(g.size - 1, round(shares[g.name] * g.size)) for g in groups}

    def _rounded(
        self, groups: Sequence[ChannelGroup], counts: dict[str, int], model: Model
    ) -> dict[str, int]:
        """Changes the counts so that tensors keep widths that are multiples.

        Groups that share an axis, such as the parts of a residual stream, are settled from the axis
        with the fewest of them on: each later one rounds the sum.
        """
        if self.multiple_of == 1:
            return counts
        weights = dict(model.module.named_parameters(remove_duplicate=False))
        lying: dict[tuple[str, int], dict[str, int]] = defaultdict(dict)
        for group in groups:
            for place in group.axes:
                number = sum((s.tensor, s.axis) == place for s in group.units[0])
                lying[place][group.name] = number
        sizes = {group.name: group.size for group in groups}
        settled: set[str] = set()
        for (tensor, axis), widths in sorted(lying.items(), key=lambda item: len(item[1])):
            free = [name for name in widths if name not in settled and counts[name]]
            if tensor not in weights or not free:
                continue
            name = max(free, key=lambda n: sizes[n])
            gone = sum(counts[n] * w for n, w in widths.items() if n != name)
            base = weights[tensor].shape[axis] - gone
            counts[name] = self._nearest(base, widths[name], counts[name], sizes[name])
            settled |= set(widths)
        return counts

    def _nearest(self, base: int, width: int, count: int, size: int) -> int:
        """The count nearest to `count` at which `base - width * count` is a multiple."""
        fits = [c for c in range(size) if (base - width * c) % self.multiple_of == 0]
        return min(fits, key=lambda c: (abs(c - count), c), default=count)


def silencer(
    model: Model, importance: Importance | None = None
) -> Callable[[Model, str, float], Model]:
    """Gives the perturbation for `sensitivity`: the least important share of one group set to zero.

    Zeroing needs no new trace for each trial, and gives the same outputs as removal wherever a
    channel that is zero stays zero (not under LayerNorm and GroupNorm, where it is near).

    Args:
        model: The network to try; groups and ranks are worked out once, from it.
        importance: Ranks the units; `Magnitude()` by default.
    """
    found = channel_groups(trace(model))
    scores = (importance or Magnitude())(model, found.groups)

    def perturb(trial: Model, name: str, level: float) -> Model:
        count = min(found[name].size - 1, round(level * found[name].size))
        drop = {name: scores[name].argsort(stable=True)[:count].tolist()}
        return silence_channels(trial, drop, found)

    return perturb


def _check_names(names: Sequence[str] | Mapping[str, float], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"no channel group {name!r}; {did_you_mean(name, known)}")
