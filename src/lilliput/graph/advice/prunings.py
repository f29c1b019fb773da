"""What goes with a share of each group's channels, heads or groups."""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping

from torch import Tensor

from lilliput.graph.advice.entry import Advice, Whole
from lilliput.graph.graph import Graph
from lilliput.graph.groups import ChannelGroup, channel_groups
from lilliput.graph.macs import macs_of
from lilliput.graph.weights import weights_of

__all__ = ["prunings"]


def prunings(graph: Graph, whole: Whole, ratio: float) -> Iterator[Advice]:
    """Groups that could be narrower, and channels that must stay."""
    macs = _macs_by_tensor(graph, whole.tensors)
    groups = channel_groups(graph)
    for group in groups:
        dropped = min(group.size - 1, round(ratio * group.size))
        gone = _gone(group, dropped, whole.tensors)
        if not gone:
            continue
        saved_bytes = sum(round(share * whole.tensors[n].nbytes) for n, share in gone.items())
        saved_macs = sum(round(share * macs[n]) for n, share in gone.items() if n in macs)
        saved = whole.saving_text(saved_bytes, saved_macs)
        text = f"{dropped} of {group.size} {_kind(group, whole.tensors)} fewer: {saved}"
        yield Advice(group.name, "prune", saved_bytes, saved_macs, text)
    for skipped in groups.skipped:
        text = f"channels stay: {skipped.reason} ({skipped.operator})"
        yield Advice(skipped.where or skipped.operator, "keep", 0, 0, text)


def _kind(group: ChannelGroup, tensors: Mapping[str, Tensor]) -> str:
    """What its units are; parts of a filter are groups, of a matrix heads."""
    if group.kind == "channels":
        return "channels"
    is_filter = any(tensors[name].dim() > 2 for name, _ in group.axes if name in tensors)
    return "groups" if is_filter else "heads"


def _gone(group: ChannelGroup, dropped: int, tensors: Mapping[str, Tensor]) -> dict[str, float]:
    """Share of each tensor that goes with some of the units."""
    lost: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for unit in group.units[:dropped]:
        for site in unit:
            lost[site.tensor][site.axis] += 1
    return {
        name: 1 - math.prod(1 - count / tensors[name].shape[axis] for axis, count in axes.items())
        for name, axes in lost.items()
        if name in tensors
    }


def _macs_by_tensor(graph: Graph, tensors: Mapping[str, Tensor]) -> dict[str, int]:
    """MACs of the operators that use each weight; they are as many as it has elements, repeated."""
    weights = weights_of(graph)
    macs: dict[str, int] = defaultdict(int)
    for node in graph.nodes:
        for name in weights.of(node):
            if node not in weights.constants and name in tensors and tensors[name].dim() > 1:
                macs[name] += macs_of(node) // graph.batch
    return macs
