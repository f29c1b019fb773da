"""Which architecture a point of the search stands for: what goes, and what becomes cheaper."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from lilliput.core import Model, Pass, Task, run
from lilliput.edit import FactorizeLayers
from lilliput.graph import channel_groups, cost, trace
from lilliput.prune import PruneChannels, RemoveBlocks, allot, bytes_of, macs_of
from lilliput.search.latency.table import LatencyTable
from lilliput.train import DistillLayers

__all__ = ["Amount", "Shapes"]

Amount = Literal["macs", "bytes", "latency"]
"""What the budget limits most, and so what shares are of."""

_Key = tuple[int, float, float]
"""Blocks, share and rank."""
_CLOSE = 1.02
"""How much more than asked for may be left."""


@dataclass(frozen=True, eq=False)
class Shapes:
    """Passes for one network's architectures, each worked out once.

    Args:
        model: The original.
        task: What factors are fitted on.
        sensitivity: Rise of the loss by channel group and pruning ratio.
        block_drops: Rise of the loss without each removable block.
        multiple: What widths are rounded to.
        counts: What shares are of.
        table: What widths and blocks take in the first target's runtime; None where shares are of
            something else.
    """

    model: Model
    task: Task
    sensitivity: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    block_drops: Mapping[str, float] = field(default_factory=dict)
    multiple: int = 1
    counts: Amount = "macs"
    table: LatencyTable | None = None
    _known: dict[_Key, tuple[Pass, ...]] = field(default_factory=dict, init=False)
    _in_parts: dict[_Key, bool] = field(default_factory=dict, init=False)

    @property
    def blocks(self) -> tuple[str, ...]:
        """Removable blocks, first the one that costs least: for its bytes where these count."""
        drops = self.block_drops
        if self.counts != "bytes":  # at batch 1 every block takes about the same time
            return tuple(sorted(drops, key=lambda name: drops[name]))
        parts = {name: self.model.module.get_submodule(name) for name in drops}
        sizes = {n: sum(p.nbytes for p in part.parameters()) for n, part in parts.items()}
        return tuple(sorted(drops, key=lambda n: max(drops[n], 0.0) / max(sizes[n], 1)))

    def passes(self, blocks: int, share: float, rank: float) -> tuple[Pass, ...]:
        """What gives an architecture.

        Args:
            blocks: How many whole blocks go first, the least sensitive ones.
            share: Of what is counted, that channels leave.
            rank: Of the multiplications that remain, the share that factors leave.
        """
        key = blocks, share, rank
        if key not in self._known:
            self._known[key] = self._passes(blocks, share, rank)
        return self._known[key]

    def is_in_parts(self, blocks: int, share: float, rank: float) -> bool:
        """Whether all that an architecture changes is in parts whose outputs keep their shapes."""
        key = blocks, share, rank
        if key not in self._in_parts:
            lesson = DistillLayers(self.task, self.model)
            self._in_parts[key] = lesson.teaches_all(run(self.model, self.passes(*key)))
        return self._in_parts[key]

    def left_without(self, blocks: int) -> float:
        """The share that is left without so many blocks: of the time where that counts.

        Elsewhere of the parameters.
        """
        gone = self.blocks[:blocks]
        if self.counts == "latency" and self.table is not None:
            return self.table(dict.fromkeys(gone, 1.0))
        parameters = dict(self.model.module.named_parameters())
        left = [p for n, p in parameters.items() if not n.startswith(tuple(f"{b}." for b in gone))]
        return sum(p.numel() for p in left) / sum(p.numel() for p in parameters.values())

    def _passes(self, blocks: int, share: float, rank: float) -> tuple[Pass, ...]:
        gone = self.blocks[:blocks]
        passes: list[Pass] = [RemoveBlocks(gone)] if gone else []
        if share < 1 and self.counts == "latency" and self.table is not None:
            passes = self._by_time(self.table, gone, share)
        elif share < 1:
            passes += self._narrower(run(self.model, passes), share)
        if rank < 1:
            passes.append(FactorizeLayers(rank, task=self.task))
        return tuple(passes)

    def _by_time(self, table: LatencyTable, gone: Sequence[str], share: float) -> list[Pass]:
        """Channels and blocks together, by what the runtime takes for them.

        Args:
            table: What it takes.
            gone: Blocks that go in any case.
            share: Of the time that is left without those.
        """
        without = dict.fromkeys(gone, 1.0)
        drops: dict[str, dict[float, float]] = {
            name: {
                level: self.sensitivity[name][str(level)]
                for level in levels
                if str(level) in self.sensitivity.get(name, {})
            }
            for name, levels in table.channels.items()
            if table.inside.get(name) not in gone
        }
        drops |= {
            name: {1.0: drop}
            for name, drop in self.block_drops.items()
            if name in table.blocks and name not in gone
        }
        chosen = allot(
            {name: by for name, by in drops.items() if by},
            lambda ratios: table({**without, **ratios}),
            share,
            max_ratio=1.0,
        )
        return list(table.passes(self.model, {**without, **chosen}))

    def _narrower(self, shallower: Model, share: float) -> list[Pass]:
        """Pruning that leaves the share of MACs or bytes at the least rise of the loss.

        Widths that must be multiples may leave more than was asked for; then less is asked for.
        """
        graph = trace(shallower)
        groups = channel_groups(graph)
        by_bytes = self.counts == "bytes"
        amount: Callable[[Mapping[str, float]], float]
        amount = bytes_of(groups) if by_bytes else macs_of(groups, cost(graph))
        drops = {
            group.name: {float(k): drop for k, drop in self.sensitivity[group.name].items()}
            for group in groups
            if group.name in self.sensitivity
        }
        best: list[Pass] = []
        wanted, left = share, 1.0
        while left > _CLOSE * share and wanted > share / 4:
            ratios = allot(drops, amount, wanted)
            if not ratios:
                break
            best = [PruneChannels(ratios, multiple_of=self.multiple)]
            left = self._amount(run(shallower, best)) / self._amount(shallower)
            wanted *= 0.95 * min(1.0, share / left)
        return best

    def _amount(self, model: Model) -> int:
        if self.counts == "bytes":
            return sum(tensor.nbytes for tensor in model.module.parameters())
        return sum(row.macs for row in cost(trace(model)))
