"""What each channel group and each block adds to the time, measured in the target's own runtime.

Groups whose layers have the same shapes are pruned together in one file, and what that file saves
is divided among them: fewer files, and a difference larger than the noise.

Source: Yang et al. 2018, "NetAdapt", section 3.3, for tables in place of a model of the device.
"""

import math
import tempfile
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lilliput.core import Model, Pass, Target, Task, run
from lilliput.core.progress import track
from lilliput.export import export
from lilliput.graph import ChannelGroup, ChannelGroups, channel_groups, cost, trace
from lilliput.measure import latency_ratios
from lilliput.prune import Importance, Magnitude, PruneChannels, RemoveBlocks, removable_blocks

__all__ = ["LatencyTable", "latency_table", "levels_of"]

_STEPS = 4


@dataclass(frozen=True)
class LatencyTable:
    """Shares of the whole network's latency that go with parts of it.

    Args:
        channels: For each group and pruning ratio.
        blocks: For each block that can be removed.
        inside: For each group of a removable block, that block.
    """

    channels: Mapping[str, Mapping[float, float]]
    blocks: Mapping[str, float]
    inside: Mapping[str, str]

    def __call__(self, chosen: Mapping[str, float]) -> float:
        """The share of the latency that is left; what is saved adds up.

        Args:
            chosen: A ratio of the table for each group that is pruned, 1 for each removed block.
        """
        gone = {name for name, ratio in chosen.items() if name in self.blocks and ratio}
        saved = sum(self.blocks[name] for name in gone)
        for name, ratio in chosen.items():
            if name in self.channels and ratio and self.inside.get(name) not in gone:
                saved += self.channels[name][ratio]
        return 1.0 - saved

    def passes(
        self, model: Model, chosen: Mapping[str, float], importance: Importance | None = None
    ) -> tuple[Pass, ...]:
        """What removes the blocks and channels that were chosen.

        Groups that end with a block, or become one with others where it was, are left whole.

        Args:
            model: Whose parts they are.
            chosen: A ratio for each group that is pruned, 1 for each removed block.
            importance: Ranks the units of a group; None for `Magnitude()`.
        """
        blocks = tuple(name for name in chosen if name in self.blocks)
        passes: list[Pass] = [RemoveBlocks(blocks)] if blocks else []
        ratios = {name: ratio for name, ratio in chosen.items() if name in self.channels}
        if ratios and blocks:
            known = {group.name for group in channel_groups(trace(run(model, passes)))}
            ratios = {name: ratio for name, ratio in ratios.items() if name in known}
        if ratios:
            passes.append(PruneChannels(ratios, importance=importance or Magnitude()))
        return tuple(passes)

    def as_dict(self) -> dict[str, Any]:
        """The same as JSON can hold it, with ratios as text."""
        channels = {name: {str(k): v for k, v in by.items()} for name, by in self.channels.items()}
        return {"channels": channels, "blocks": dict(self.blocks), "inside": dict(self.inside)}

    @staticmethod
    def from_dict(found: Mapping[str, Any]) -> "LatencyTable":
        """What `as_dict` gave."""
        channels = {n: {float(k): v for k, v in by.items()} for n, by in found["channels"].items()}
        return LatencyTable(channels, found["blocks"], found["inside"])


def levels_of(size: int, multiple: int) -> tuple[float, ...]:
    """Pruning ratios at which a width of `size` fits the runtime, at most four of them.

    Args:
        size: The width.
        multiple: What the runtime likes; narrow layers take half, a quarter of it and so on.
    """
    while multiple > 1 and size < 2 * multiple:
        multiple //= 2
    widths = [width for width in range(multiple, size, multiple) if width < size]
    step = max(1, math.ceil(len(widths) / _STEPS))
    return tuple(1 - width / size for width in reversed(widths[::step]))


def latency_table(
    model: Model, target: Target, task: Task, skip: Sequence[str] = (), has_blocks: bool = True
) -> LatencyTable:
    """Exports the network with each kind of group narrower, and times all files in turns.

    Args:
        model: The network as it is.
        target: Where it runs.
        task: Its first validation examples are what is run.
        skip: Groups and blocks that stay.
        has_blocks: Whether whole blocks may go.

    Raises:
        MeasureError: The runtime fails.
        UnsupportedError: The target is for another system, or does not take the network.
    """
    found = channel_groups(trace(model))
    groups = [g for g in found if g.kind == "channels" and g.name not in skip]
    blocks = [b for b in removable_blocks(model) if b not in skip] if has_blocks else []
    trials: list[tuple[tuple[str, ...], float, Pass]] = [
        (names, ratio, PruneChannels(dict.fromkeys(names, ratio)))
        for size, names in _alike(found, groups)
        for ratio in levels_of(size, target.channel_multiple)
    ]
    trials += [(same, 1.0, RemoveBlocks(same)) for same in _alike_blocks(model, blocks)]
    ratios = _timed(model, target, task, [pass_ for *_, pass_ in trials])
    channels: dict[str, dict[float, float]] = defaultdict(dict)
    whole: dict[str, float] = {}
    for (names, ratio, pass_), left in zip(trials, ratios, strict=True):
        saved = (1 - left) / len(names)
        for name in names:
            if isinstance(pass_, RemoveBlocks):
                whole[name] = saved
            else:
                channels[name][ratio] = saved
    inside = {g.name: b for g in groups for b in blocks if g.name.startswith(f"{b}.")}
    return LatencyTable(dict(channels), whole, inside)


def _timed(model: Model, target: Target, task: Task, passes: Sequence[Pass]) -> list[float]:
    """For each pass, the latency of what it leaves over that of the whole."""
    with tempfile.TemporaryDirectory() as folder:
        original = export(model, target, Path(folder) / "original")
        files = [
            export(run(model, [pass_]), target, Path(folder) / str(index))
            for index, pass_ in enumerate(track(passes, "widths in the runtime"))
        ]
        return [m.value for m in latency_ratios(files, original, target, task)]


def _alike(
    found: ChannelGroups, groups: Sequence[ChannelGroup]
) -> list[tuple[int, tuple[str, ...]]]:
    """Widths, and groups of that width on tensors of the same shapes, with as many positions."""
    tensors = dict(found.graph.model.module.named_parameters())
    macs: dict[str, int] = defaultdict(int)
    for row in cost(found.graph):
        macs[f"{row.name.partition('@')[0]}.weight"] += row.macs
    alike: dict[tuple[int, Hashable], list[str]] = defaultdict(list)
    for group in groups:
        axes = [(tuple(tensors[t].shape), axis, macs[t]) for t, axis in group.axes if t in tensors]
        alike[group.size, tuple(sorted(axes))].append(group.name)
    return [(size, tuple(names)) for (size, _), names in alike.items()]


def _alike_blocks(model: Model, blocks: Sequence[str]) -> list[tuple[str, ...]]:
    """Blocks of the same parameters that do as much work."""
    macs = {row.name: row.macs for row in cost(trace(model))}
    alike: dict[Hashable, list[str]] = defaultdict(list)
    for name in blocks:
        part = model.module.get_submodule(name)
        shapes = tuple((n, tuple(p.shape)) for n, p in part.named_parameters())
        work = tuple(count for row, count in macs.items() if row.startswith(f"{name}."))
        alike[shapes, work].append(name)
    return [tuple(names) for names in alike.values()]
