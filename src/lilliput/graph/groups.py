"""Which channels must be removed together, and where they are stored."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import torch

from lilliput.graph.flow import Flow
from lilliput.graph.graph import Graph
from lilliput.graph.ids import FIXED, Grid, Labels, merge, relabel, varying
from lilliput.graph.resize import Irregular, plan
from lilliput.graph.rules import follow

__all__ = ["ChannelGroup", "ChannelGroups", "Site", "Skipped", "Unit", "channel_groups"]


@dataclass(frozen=True, slots=True)
class Site:
    """One slice of one parameter or buffer."""

    tensor: str
    axis: int
    index: int


Unit = tuple[Site, ...]


@dataclass(frozen=True)
class ChannelGroup:
    """Units that compete with one another: each may go, but not all.

    Args:
        name: The layer that makes the channels first.
        units: What must go together, one entry for each channel.
        kind: "channels" for widths; "parts" for whole attention heads or whole groups of a
            convolution, which hold channels that other groups hold too.
    """

    name: str
    units: tuple[Unit, ...] = field(repr=False)
    kind: Literal["channels", "parts"] = "channels"

    @property
    def size(self) -> int:
        """How many units it has."""
        return len(self.units)

    @property
    def axes(self) -> frozenset[tuple[str, int]]:
        """The tensor axes its units lie on."""
        return frozenset((site.tensor, site.axis) for site in self.units[0])


@dataclass(frozen=True)
class Skipped:
    """Channels that are left alone, and why.

    Args:
        operator: Where the ids stopped, as PyTorch names it.
        where: The module that runs it; "" for the network itself.
        reason: What is in the way.
    """

    operator: str
    where: str
    reason: str


@dataclass(frozen=True, eq=False)
class ChannelGroups:
    """What `channel_groups` gives.

    Args:
        groups: In the order their first layers run.
        skipped: What was left alone.
        graph: The graph they were read from.
        flow: The ids behind them, for `remove_channels`.
        labels: For each kind of group, the set that each id belongs to.
        members: For each group, the label of each unit.
    """

    groups: tuple[ChannelGroup, ...]
    skipped: tuple[Skipped, ...]
    graph: Graph = field(repr=False)
    flow: Flow = field(repr=False)
    labels: dict[str, Labels] = field(repr=False)
    members: dict[str, tuple[int, ...]] = field(repr=False)

    def __iter__(self) -> Iterator[ChannelGroup]:
        return iter(self.groups)

    def __getitem__(self, name: str) -> ChannelGroup:
        return next(group for group in self.groups if group.name == name)

    @property
    def heads(self) -> tuple[ChannelGroup, ...]:
        """The groups whose units are whole attention heads."""
        if not self.flow.heads:
            return ()
        made = set(self.labels["parts"][torch.cat(self.flow.heads, 1).reshape(-1)].tolist())
        parts = [group for group in self.groups if group.kind == "parts"]
        return tuple(group for group in parts if made & set(self.members[group.name]))

    def gone(self, drop: dict[str, list[int]]) -> torch.Tensor:
        """Which ids go when these units of these groups are removed."""
        gone = torch.zeros(self.flow.count, dtype=torch.bool)
        for name, units in drop.items():
            labels = self.labels[self[name].kind]
            members = torch.tensor([self.members[name][k] for k in units], dtype=torch.long)
            gone |= torch.isin(labels, members)
        return gone


def channel_groups(graph: Graph) -> ChannelGroups:
    """Finds the groups by following channel ids through the graph.

    Every element of an activation gets the id of the channel that made it. Data movement is run on
    the ids, ids that meet elementwise are merged, and the axes of parameters are read off the ids
    that reach them, so no structure (padding shortcuts, shuffles, heads) needs a rule of its own.

    Returns:
        Groups of two units and more, each of which can be removed alone; and what is left alone.
    """
    flow = follow(graph)
    labels = {"channels": _solve(flow, is_parts=False)}
    found = _groups(flow, labels["channels"], "channels")
    if flow.parts:
        labels["parts"] = _solve(flow, is_parts=True)
        found += _groups(flow, labels["parts"], "parts")
    names = _names([group for group, _ in found])
    named = [
        (ChannelGroup(name, group.units, group.kind), members)
        for name, (group, members) in zip(names, found, strict=True)
    ]
    result = ChannelGroups(
        tuple(group for group, _ in named),
        _stops(flow),
        graph,
        flow,
        labels,
        {group.name: members for group, members in named},
    )
    return _removable(result)


def _solve(flow: Flow, is_parts: bool) -> Labels:
    """Merges all relations, the deferred ones once those they wait for are known."""
    labels = merge(torch.arange(flow.count), flow.pairs + [stop.ids for stop in flow.stops])
    if is_parts:
        labels = merge(labels, flow.parts)
    grids = [item for item in flow.later if isinstance(item, Grid)]
    others = [item for item in flow.later if not isinstance(item, Grid)]
    while True:
        before = labels
        for item in grids:  # one by one: each may settle those that follow
            labels = merge(labels, [item.pairs(labels)])
        if torch.equal(before, labels):
            labels = merge(labels, [item.pairs(labels) for item in others])
        if torch.equal(before, labels):
            return _whole(flow, labels)


def _whole(flow: Flow, labels: Labels) -> Labels:
    """What would empty a tensor stays."""
    fixed = []
    for attached in flow.attached.values():
        for ids in attached:
            seen = labels[ids.reshape(-1)[:1]]
            if not varying(relabel(ids, labels)) and int(seen) != FIXED:
                fixed.append(torch.stack([seen, torch.zeros_like(seen)]))
    return merge(labels, fixed) if fixed else labels


def _sites(flow: Flow, labels: Labels) -> dict[int, dict[Site, None]]:
    """Slices of each set, in the order the network attaches them."""
    sites: dict[int, dict[Site, None]] = defaultdict(dict)
    for name, attached in flow.attached.items():
        for ids in attached:
            own = relabel(ids, labels)
            lines = varying(own)
            if len(lines) != 1:
                continue
            axis = lines[0]
            line = own[tuple(slice(None) if d == axis else 0 for d in range(own.dim()))]
            for index, label in enumerate(line.tolist()):
                if label != FIXED:
                    sites[label][Site(name, axis, index)] = None
    return sites


def _groups(
    flow: Flow, labels: Labels, kind: Literal["channels", "parts"]
) -> list[tuple[ChannelGroup, tuple[int, ...]]]:
    made = _first_made(flow, labels)
    wanted = set(made)
    if kind == "parts":
        wanted &= {int(x) for x in labels[torch.cat(flow.parts, 1).reshape(-1)].unique()}
    by_axes: dict[frozenset[tuple[str, int]], list[int]] = defaultdict(list)
    sites = _sites(flow, labels)
    for label, unit in sites.items():
        if label in wanted:
            by_axes[frozenset((site.tensor, site.axis) for site in unit)].append(label)
    found = []
    for members in by_axes.values():
        if len(members) > 1:
            members.sort(key=lambda label: made[label][1])
            units = tuple(tuple(sites[label]) for label in members)
            found.append(
                (made[members[0]], ChannelGroup(made[members[0]][0], units, kind), members)
            )
    found.sort(key=lambda item: item[0][1])
    return [(group, tuple(members)) for _, group, members in found]


def _first_made(flow: Flow, labels: Labels) -> dict[int, tuple[str, int]]:
    """For each set, the layer that makes it first and its place in the order of all channels."""
    made: dict[int, tuple[str, int]] = {}
    order = 0
    for tensor, ids in flow.producers:
        own = tensor.partition(".parametrizations.")[0]  # of a masked weight, say
        layer = (tensor.rpartition(".")[0] if own == tensor else own) or tensor
        for label in labels[ids.reshape(-1)].tolist():
            made.setdefault(label, (layer, order))
            order += 1
    made.pop(FIXED, None)
    return made


def _names(groups: list[ChannelGroup]) -> list[str]:
    """Layer names; a second group of the same layer is "layer:2", heads are "layer:parts"."""
    seen: dict[str, int] = defaultdict(int)
    names = []
    for group in groups:
        name = group.name if group.kind == "channels" else f"{group.name}:parts"
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name}:{seen[name]}")
    return names


def _stops(flow: Flow) -> tuple[Skipped, ...]:
    """Stops that cost channels which could have gone otherwise."""
    free = merge(torch.arange(flow.count), flow.pairs)
    costly = [stop for stop in flow.stops if bool((free[stop.ids] != FIXED).any())]
    return tuple(dict.fromkeys(Skipped(s.operator, s.where, s.reason) for s in costly))


def _removable(found: ChannelGroups) -> ChannelGroups:
    """Drops the groups whose removal the network's data movement cannot follow."""
    groups, skipped = [], list(found.skipped)
    for group in found.groups:
        last = group.size - 1
        try:  # an end, the other end, and what is scattered between
            for units in ([0], [last], list(range(0, last, 2))):
                plan(found.flow, found.gone({group.name: units}))
        except Irregular as error:
            reason = f"the channels of {group.name} stay: {error.reason}"
            skipped.append(Skipped(error.operator, error.where, reason))
        else:
            groups.append(group)
    return ChannelGroups(
        tuple(groups),
        tuple(dict.fromkeys(skipped)),
        found.graph,
        found.flow,
        found.labels,
        found.members,
    )
