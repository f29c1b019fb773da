"""Fewer channels: the network becomes narrower, and its files smaller and faster for it."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import ClassVar

import torch

from lilliput.core import Model, Note, Stage
from lilliput.core.settings import check_kind, check_names
from lilliput.graph import (
    ChannelGroup,
    ChannelGroups,
    channel_groups,
    remove_channels,
    silence_channels,
    trace,
)
from lilliput.prune.importance import Importance, Magnitude, Scores
from lilliput.prune.naming import named, ratios_by_group

__all__ = ["PruneChannels", "silencer", "stops"]


def stops(found: ChannelGroups) -> Iterator[Note]:
    """One note for each operator through which channels could not be followed."""
    for stop in found.skipped:
        where = f" of {stop.where!r}" if stop.where else ""
        yield Note(f"channels at {stop.operator}{where} stay: {stop.reason}", is_fallback=False)


@dataclass(frozen=True)
class PruneChannels:
    """Removes the least important channels of every group, physically.

    One ratio means widths: whole heads, which hold the same weights as head widths, go only where
    a mapping names them. A group is named after the layer that makes its channels first: the inner
    width of an MLP after its first layer, the widths of heads after the queries and the values, the
    width of a residual stream after what it begins with. `*` in a name stands for anything, so
    `{"*.intermediate.dense": 0.5}` halves every MLP of a BERT.

    Channels whose weights are all zero go without a change to what comes out, but where something
    counts channels: a mean or a deviation over them, as in LayerNorm, is over fewer then.

    No group loses all: at least `multiple_of` units stay where that is possible, else one, and the
    model's notes say so.

    Args:
        ratio: Share of units to remove, 0 to below 1: of every group, or for each group named. A
            name counts before a pattern, and of patterns the last that fits.
        importance: Ranks the units.
        multiple_of: Widths that remain are rounded to a multiple of this where the group allows.
        is_global: Rank all groups against each other instead of each by itself; needs one ratio.
        keep: Names or patterns of groups to leave as they are.

    Raises:
        ValueError: A ratio is out of range, or a name or pattern fits no group of the network.
    """

    ratio: float | Mapping[str, float] = 0.5
    importance: Importance = field(default_factory=Magnitude)
    multiple_of: int = 1
    is_global: bool = False
    keep: tuple[str, ...] = ()
    stage: ClassVar[Stage] = "prune"

    def __post_init__(self) -> None:
        check_names("keep", self.keep)
        check_kind("importance", self.importance, Importance, "Magnitude()")
        ratios = self.ratio if isinstance(self.ratio, Mapping) else {None: self.ratio}
        for name, ratio in ratios.items():
            whose = "ratio" if name is None else f"ratio of {name!r}"
            check_kind(whose, ratio, Real, "0.5")
            if not 0 <= ratio < 1:
                raise ValueError(f"{whose} must be at least 0 and below 1, got {ratio}")
        if self.multiple_of < 1:
            raise ValueError(f"multiple_of must be 1 or more, got {self.multiple_of}")
        if self.is_global and isinstance(self.ratio, Mapping):
            raise ValueError(
                "is_global ranks all groups by one ratio; give a number, not a mapping"
            )

    def __call__(self, model: Model, /) -> Model:
        return self.prune(model, channel_groups(trace(model)))

    def prune(self, model: Model, found: ChannelGroups) -> Model:
        """The same for a network whose groups are known."""
        drop, asked = self._chosen(model, found)
        notes = (*model.notes, *self._notes(found, drop, asked))
        small = remove_channels(model, drop, found) if drop else model
        return replace(small, notes=notes)

    def _chosen(
        self, model: Model, found: ChannelGroups
    ) -> tuple[dict[str, list[int]], dict[str, int]]:
        """The units that go, and how many were asked to, for each group."""
        ratios = self._ratios(found)
        groups = [group for group in found if group.name in ratios]
        if not groups:
            return {}, {}
        scores = self.importance(model, groups)
        asked = self._asked(ratios, groups, scores)
        counts = self._rounded(
            groups, {g.name: min(g.size - 1, asked[g.name]) for g in groups}, model
        )
        drop = {g.name: scores[g.name].argsort(stable=True)[: counts[g.name]] for g in groups}
        return {name: sorted(units.tolist()) for name, units in drop.items() if len(units)}, asked

    def _ratios(self, found: ChannelGroups) -> dict[str, float]:
        """The ratio of each group that may lose units."""
        if isinstance(self.ratio, Mapping):
            ratios = ratios_by_group(self.ratio, found.groups)
        else:
            ratios = {group.name: self.ratio for group in found if group.kind == "channels"}
        kept = named(self.keep, found.groups)
        return {name: ratio for name, ratio in ratios.items() if name not in kept}

    def _asked(
        self, ratios: Mapping[str, float], groups: Sequence[ChannelGroup], scores: Scores
    ) -> dict[str, int]:
        """How many units would go from each group if widths did not matter."""
        if not self.is_global:
            return {g.name: round(ratios[g.name] * g.size) for g in groups}
        every = torch.cat([scores[g.name] for g in groups])
        number = round(max(ratios.values()) * len(every))
        limit = every.sort().values[number - 1] if number else -torch.inf
        return {g.name: int((scores[g.name] <= limit).sum()) for g in groups}

    def _notes(
        self, found: ChannelGroups, drop: Mapping[str, Sequence[int]], asked: Mapping[str, int]
    ) -> Iterator[Note]:
        """What stays although one ratio was asked for, and what could not go so far."""
        if not isinstance(self.ratio, Mapping):
            yield from stops(found)
        for name, count in asked.items():
            size = found[name].size
            left = size - len(drop.get(name, ()))
            if size - count < min(left, self.multiple_of):
                text = f"{name!r} keeps {left} of {size} units, since not all may go"
                yield Note(text, is_fallback=False)

    def _rounded(
        self, groups: Sequence[ChannelGroup], counts: dict[str, int], model: Model
    ) -> dict[str, int]:
        """Changes the counts so that tensors keep widths that are multiples.

        Groups that share an axis, such as the parts of a residual stream, are settled from the axis
        with the fewest of them on: each later one rounds the sum. Heads, and groups of a
        convolution, go as asked, and the widths within those that stay are rounded.
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
        parts = {group.name for group in groups if group.kind == "parts"}
        settled: set[str] = set(parts)
        for (tensor, axis), slices in sorted(lying.items(), key=lambda item: len(item[1])):
            left = math.prod(1 - counts[n] / sizes[n] for n in slices if n in parts)
            widths = {n: round(w * left) for n, w in slices.items() if n not in parts}
            free = [name for name in widths if name not in settled and counts[name]]
            if tensor not in weights or not free:
                continue
            name = max(free, key=lambda n: sizes[n])
            gone = sum(counts[n] * w for n, w in widths.items() if n != name)
            base = round(weights[tensor].shape[axis] * left) - gone
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
