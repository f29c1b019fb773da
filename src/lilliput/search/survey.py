"""What the search must know of a network first: what an epoch takes, and what can be spared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lilliput.core import Model, Pass, Target, Task, run
from lilliput.graph import ChannelGroup, Sensitivity, channel_groups, sensitivity, trace
from lilliput.prune import RemoveBlocks, removable_blocks, silencer
from lilliput.registry import Store
from lilliput.search.latency.table import LatencyTable, latency_table
from lilliput.search.plan import Clock, epoch_seconds
from lilliput.search.score import negative_loss

__all__ = ["Survey", "survey"]

_LEVELS = (0.25, 0.5, 0.75)

Drops = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Survey:
    """Facts of one network and machine, kept in the run's notes so that a resumed run plans alike.

    Args:
        epoch_s: Seconds of one epoch of distillation of the whole network.
        left_s: Of the time budget, what was left when the survey ended.
        multiple: What channel counts are rounded to.
        sensitivity: Rise of the validation loss by channel group and pruning ratio.
        block_sensitivity: The same for each removable block, at "1.0".
        latency: What widths and blocks take in the first target's runtime; None where the budget
            does not limit the time.
    """

    epoch_s: float
    left_s: float
    multiple: int
    sensitivity: Drops
    block_sensitivity: Drops
    latency: LatencyTable | None = None

    @property
    def block_drops(self) -> Mapping[str, float]:
        """For each removable block, the rise of the validation loss without it."""
        return {name: next(iter(by.values())) for name, by in self.block_sensitivity.items()}


def survey(  # noqa: PLR0913, PLR0917
    model: Model,
    task: Task,
    training: Pass,
    targets: Sequence[Target],
    store: Store,
    clock: Clock,
    has_times: bool = False,
) -> Survey:
    """Measures them, or reads what an earlier start of the same run noted.

    Args:
        model: The original.
        task: Its data.
        training: One epoch of what networks are trained by.
        targets: Where the variants are to run.
        store: Where notes are kept.
        clock: The run's.
        has_times: Whether what widths and blocks take in a runtime is to be measured, too.
    """
    groups = channel_groups(trace(model)).groups
    table = _table(model, task, targets[0], store) if has_times else None
    _note_drops(model, task, groups, table, store)
    if "block_sensitivity" not in store.notes():
        names = list(removable_blocks(model))
        score = negative_loss(task)
        found = sensitivity(model, names, _shallower, score, (1.0,)) if names else None
        store.note("block_sensitivity", _as_json(found))
    if "plan" not in store.notes():
        widths = [group for group in groups if group.kind == "channels"]
        plan = {
            "epoch_s": epoch_seconds(model, task, training),
            "surveyed_s": clock.used_s(),
            "multiple": _multiple(max((g.size for g in widths), default=0), targets),
        }
        store.note("plan", plan)
    notes = store.notes()
    plan = notes["plan"]
    return Survey(
        epoch_s=plan["epoch_s"],
        left_s=clock.limit_s - plan["surveyed_s"],
        multiple=plan["multiple"],
        sensitivity=notes["sensitivity"],
        block_sensitivity=notes["block_sensitivity"],
        latency=table,
    )


def _table(model: Model, task: Task, target: Target, store: Store) -> LatencyTable:
    """What widths and blocks take on a target; another target's table is no help."""
    noted = store.notes().get("latency", {})
    if noted.get("target") != target.name:
        noted = {"target": target.name, **latency_table(model, target, task).as_dict()}
        store.note("latency", noted)
    return LatencyTable.from_dict(noted)


def _note_drops(
    model: Model,
    task: Task,
    groups: Sequence[ChannelGroup],
    table: LatencyTable | None,
    store: Store,
) -> None:
    """Measures what is not noted yet, at the ratios that will be chosen from."""
    noted: dict[str, dict[str, float]] = store.notes().get("sensitivity", {})
    wanted: dict[str, tuple[float, ...]] = {g.name: _LEVELS for g in groups}
    if table is not None:
        wanted |= {n: tuple(levels) for n, levels in table.channels.items() if n in wanted}
    missing = {
        name: [level for level in levels if str(level) not in noted.get(name, {})]
        for name, levels in wanted.items()
    }
    names = [name for name, levels in missing.items() if levels]
    found = None
    if names:
        found = sensitivity(model, names, silencer(model), negative_loss(task), missing)
    if found or "sensitivity" not in store.notes():
        new = _as_json(found)
        every = {name: {**noted.get(name, {}), **new.get(name, {})} for name in {**noted, **new}}
        store.note("sensitivity", every)


def _shallower(model: Model, name: str, _: float) -> Model:
    return run(model, [RemoveBlocks((name,))])


def _as_json(found: Sensitivity | None) -> dict[str, dict[str, float]]:
    drops = found.drops if found else {}
    return {name: {str(level): drop for level, drop in by.items()} for name, by in drops.items()}


def _multiple(widest: int, targets: Sequence[Target]) -> int:
    """The targets' channel multiple, or 4 where the network is too narrow for it."""
    wanted = max(target.channel_multiple for target in targets)
    return wanted if widest >= 2 * wanted else min(4, wanted)
