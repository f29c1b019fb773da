"""Fewer channels and blocks until the target's own clock says that it is enough."""

import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

from lilliput.core import Model, Note, Pass, Stage, Target, Task, run
from lilliput.core.settings import check_kind
from lilliput.export import export
from lilliput.graph import sensitivity
from lilliput.measure import latency_ratios
from lilliput.prune import Importance, Magnitude, RemoveBlocks, allot, silencer
from lilliput.search.latency.table import LatencyTable, latency_table
from lilliput.search.score import negative_loss

__all__ = ["NarrowToLatency"]

_MOST_ROUNDS = 3
"""Beyond those asked for, where what was added up turns out not to be there."""


@dataclass(frozen=True)
class NarrowToLatency:
    """Removes channels and blocks until the exported file takes a share of the original's time.

    Each round measures what every width and block takes in the runtime, and what the validation
    loss rises without it; gives up what costs least for the time it saves; and looks at the clock.

    Source: Yang et al. 2018, "NetAdapt", algorithm 1, with all layers of a round chosen together.

    Args:
        task: Its validation split is what sensitivity is measured on.
        target: Whose runtime is timed.
        share: Of the original's latency, that is to be left, 0 to 1.
        rounds: How many steps it is reached in; the share falls by the same factor in each.
        recover: What is run after each round but the last, such as a short `FineTune`.
        importance: Ranks the units of a group.
        has_blocks: Whether whole blocks may go.
        skip: Channel groups and blocks that stay.
    """

    stage: ClassVar[Stage] = "prune"

    task: Task
    target: Target
    share: float = 0.5
    rounds: int = 1
    recover: Pass | None = None
    importance: Importance = field(default_factory=Magnitude)
    has_blocks: bool = True
    skip: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_kind("target", self.target, Target, "get_target('onnxruntime-cpu')")
        if not 0 < self.share < 1:
            raise ValueError(f"share must be between 0 and 1, got {self.share}")
        if self.rounds < 1:
            raise ValueError(f"rounds must be 1 or more, got {self.rounds}")

    def __call__(self, model: Model, /) -> Model:
        """Gives the smaller network; its notes tell what was predicted and what was measured.

        Raises:
            MeasureError: The runtime fails.
        """
        small, left = model, 1.0
        for index in range(self.rounds + _MOST_ROUNDS):
            if left <= self.share:
                break
            last = index >= self.rounds - 1
            wanted = self.share if last else self.share ** ((index + 1) / self.rounds)
            smaller = self._round(small, wanted / left)
            if smaller is small:
                break
            if self.recover is not None and not last:
                smaller = self.recover(smaller)
            small, before = smaller, left
            left = self._measured(small, model)
            text = f"latency: {wanted:.3f} of the original's aimed at, {left:.3f} measured"
            small = replace(small, notes=(*small.notes, Note(text, is_fallback=False)))
            if left > 0.99 * before:
                break
        if left > self.share:
            text = (
                f"a share of {self.share:g} of the latency was asked for, {left:.3f} is what "
                "narrower layers reach; fewer blocks, or another architecture, may reach more"
            )
            small = replace(small, notes=(*small.notes, Note(text)))
        return small

    def _round(self, model: Model, share: float) -> Model:
        """One step: what costs least goes, until the table says that the share is reached."""
        table = latency_table(model, self.target, self.task, self.skip, self.has_blocks)
        drops = self._drops(model, table)
        chosen = allot(drops, table, max(share, 0.01), max_ratio=1.0)
        passes = table.passes(model, chosen, self.importance)
        return replace(run(model, passes), history=model.history) if passes else model

    def _drops(self, model: Model, table: LatencyTable) -> dict[str, dict[float, float]]:
        """Rise of the validation loss for each group and ratio, and for each block."""
        silence = silencer(model, self.importance)

        def perturb(trial: Model, name: str, level: float) -> Model:
            if name in table.blocks:
                return run(trial, [RemoveBlocks((name,))])
            return silence(trial, name, level)

        levels = {
            name: [level for level, saved in by.items() if saved > 0]
            for name, by in table.channels.items()
        }
        levels |= {name: [1.0] for name, saved in table.blocks.items() if saved > 0}
        names = [name for name, worth in levels.items() if worth]
        found = sensitivity(model, names, perturb, negative_loss(self.task), levels)
        return {name: dict(by) for name, by in found.drops.items()}

    def _measured(self, small: Model, original: Model) -> float:
        with tempfile.TemporaryDirectory() as folder:
            files = [
                export(model, self.target, Path(folder) / name)
                for name, model in (("small", small), ("original", original))
            ]
            return latency_ratios(files[:1], files[1], self.target, self.task)[0].value
