"""The rungs in order, cheapest first, when to leave one out, and when to end."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from lilliput.core import Budget, LilliputError, Target, run
from lilliput.registry import Variant
from lilliput.search.plan import Clock
from lilliput.search.space import OBSERVERS, Point, Space
from lilliput.search.study import Objectives, explore
from lilliput.search.survey import Survey, survey
from lilliput.search.workshop import Workshop

__all__ = ["Ladder"]

_SHARES = (0.7, 0.5, 0.35)
_PATIENCE = 8


@dataclass(eq=False)
class Ladder:
    """One run of the search.

    Args:
        workshop: Makes and measures candidates.
        targets: Where they are to run.
        budget: What they may cost.
        space: What may vary.
        clock: Counts the time budget.
        tell: Receives one line for each variant made or left out.
        max_epochs: Most epochs of one training.
        trials: Most points that the sampler chooses; None for no limit.
    """

    workshop: Workshop
    targets: Sequence[Target]
    budget: Budget
    space: Space
    clock: Clock
    tell: Callable[[str], None]
    max_epochs: int = 100
    trials: int | None = None
    made: list[tuple[Point, Objectives]] = field(default_factory=list)

    def climb(self) -> None:
        """Goes up until the rungs and the time are used up, or the front stops moving."""
        for target in self.targets:
            self.tell(line_of(self.workshop.original(target)))
        for observer in OBSERVERS:
            if self.clock.left_s() > 0 or not self.made:  # a family has one int8 file at least
                self._try(Point(observer=observer))
            else:
                self._leave_out(f"int8-{observer}", "the time budget is spent")
        if self.clock.left_s() <= 0:
            self.tell("the time budget is spent before any training")
            return
        training = self.space.distill(1)
        facts = survey(
            self.workshop.model,
            self.workshop.task,
            training,
            self.targets,
            self.workshop.store,
            self.clock,
        )
        self.space = self.space.informed(facts)
        for point in self._training_rungs(facts):
            self._try(point, facts)
        self._explore(facts)

    def _training_rungs(self, facts: Survey) -> Iterator[Point]:
        """Int8-aware training of the whole network, then pruned ones of falling size."""
        observer = self._best_observer()
        aware = min(self._epochs(facts, 1.0, 0.10), 4)
        if aware:
            yield Point(aware_epochs=aware, observer=observer)
        else:
            self._leave_out("int8-aware training", _no_epoch(facts))
        for share in _SHARES:
            epochs = self._epochs(facts, share, 0.5 / len(_SHARES))
            if epochs:
                yield Point(macs_share=share, epochs=epochs, observer=observer)
            else:
                self._leave_out(f"pruning to {share:.0%} of the MACs", _no_epoch(facts))

    def _explore(self, facts: Survey) -> None:
        seeds = [pair for pair in self.made if all(map(math.isfinite, pair[1]))]
        longest = self._epochs(facts, 0.5, 0.4)
        if not seeds or not longest:
            return
        explore(
            evaluate=lambda point: self._try(point, facts),
            seeds=seeds,
            proceed=_Patience(self).proceed,
            max_blocks=len(facts.blocks) // 2,
            max_epochs=longest,
            seed=self.workshop.seed,
        )

    def _try(self, point: Point, facts: Survey | None = None) -> Objectives | None:
        """Makes a point for every target; gives what to minimise: drop, size, latency ratio."""
        try:
            candidate = self.space.candidate(point)
        except LilliputError as error:
            self._leave_out(str(point), str(error))
            return None
        reason = self._too_much(point, facts) if facts else ""
        if reason and not self.workshop.has(candidate, self.targets):
            self._leave_out(candidate.name, reason)
            return None
        made = []
        for target in self.targets:
            variant = self.workshop.make(candidate, target)
            if variant is None:
                self.tell(f"{candidate.name} on {target.name}: failed, the report says why")
            else:
                is_new = variant.name == candidate.name
                self.tell(line_of(variant) if is_new else f"{candidate.name}: as {variant.name}")
                made.append(variant)
        self.workshop.store.note("spent_s", self.clock.used_s())
        if not made:
            return None
        self.made.append((point, _objectives(made)))
        return self.made[-1][1]

    def _too_much(self, point: Point, facts: Survey) -> str:
        """Why the point cannot meet the budget or the time left; "" where it may."""
        limit = self.budget.max_size_bytes
        size = self._predicted_size(point)
        if limit is not None and size > 1.1 * limit:
            return f"about {size / 1000:,.0f} kB; the budget allows {limit / 1000:,.0f} kB"
        needed = (point.epochs + point.aware_epochs) * facts.epoch_s * point.macs_share
        left = max(self.clock.left_s(), 0.0)
        if needed > 1.2 * left:
            return f"training takes about {needed:,.0f} s; {left:,.0f} s are left"
        return ""

    def _predicted_size(self, point: Point) -> float:
        """Bytes of the smallest whole int8 file, scaled by the parameters that are left."""
        family = self.workshop.store.family()
        whole = [v.value("size") for v in family.variants if v.name.startswith("int8-")]
        smallest = min((size for size in whole if size is not None), default=0.0)
        original = self.workshop.model
        small = run(original, self.space.shape(point))
        counts = [sum(p.numel() for p in m.module.parameters()) for m in (small, original)]
        return smallest * counts[0] / counts[1]

    def _best_observer(self) -> str:
        """The observer whose int8 files lost least, over all targets."""
        losses = {
            p.observer: values[0] for p, values in self.made if p == Point(observer=p.observer)
        }
        return min(losses, key=lambda name: losses[name], default="minmax")

    def _epochs(self, facts: Survey, macs_share: float, time_share: float) -> int:
        """How many epochs a share of the time that was left after the survey buys."""
        affordable = facts.left_s * time_share / (facts.epoch_s * macs_share)
        return max(0, min(self.max_epochs, int(affordable)))

    def _leave_out(self, name: str, reason: str) -> None:
        for target in self.targets:
            self.workshop.store.skip(name, target.name, reason)
        self.tell(f"{name}: left out, {reason}")

    def front(self) -> frozenset[str]:
        """Ids on the fronts of metric against size and latency, over all targets."""
        family = self.workshop.store.family()
        ids = [
            v.id
            for target in self.targets
            for x in ("size", "latency")
            for v in family.front(x=x, y="metric", target=target.name)
        ]
        return frozenset(ids)


class _Patience:
    """Says when to end: the time is spent, or the front has not moved for some trials."""

    def __init__(self, ladder: Ladder) -> None:
        self.ladder, self.still, self.front = ladder, 0, ladder.front()
        self.asked = 0

    def proceed(self) -> bool:
        self.asked += 1
        if self.ladder.trials is not None and self.asked > self.ladder.trials:
            return False
        if self.ladder.clock.left_s() <= 0:
            self.ladder.tell("the time budget is spent")
            return False
        front = self.ladder.front()
        self.still = self.still + 1 if front == self.front else 0
        self.front = front
        if self.still > _PATIENCE:
            self.ladder.tell(f"the front has not moved for {_PATIENCE} trials")
        return self.still <= _PATIENCE


def _no_epoch(facts: Survey) -> str:
    return (
        f"an epoch takes about {facts.epoch_s:,.0f} s and {facts.left_s:,.0f} s were left for all "
        "training; a longer time budget allows it"
    )


def _objectives(variants: Sequence[Variant]) -> Objectives:
    """Worst drop, mean size and mean latency ratio over the targets; infinite where unknown."""

    def values(quantity: str) -> list[float]:
        found = [variant.value(quantity) for variant in variants]
        return [math.inf if value is None else value for value in found]

    ratios, sizes = values("latency_ratio"), values("size")
    return max(values("drop")), sum(sizes) / len(sizes), sum(ratios) / len(ratios)


def line_of(variant: Variant) -> str:
    """One variant in one line: what it scores, costs and saves."""
    words = [f"{variant.name} on {variant.target}:"]
    metric, drop = variant.value("metric"), variant.measurement("drop")
    if metric is not None:
        words.append(f"metric {metric:.4g}")
    if drop is not None and drop.low is not None and drop.high is not None:
        words.append(f"(drop {drop.value:.4g}, {drop.low:.4g} to {drop.high:.4g})")
    for quantity, scale, unit in (("size", 1000, "kB"), ("latency", 1, "ms")):
        value = variant.value(quantity)
        if value is not None:
            words.append(f"{value / scale:,.4g} {unit}")
    ratio = variant.value("latency_ratio")
    if ratio and variant.parent:
        words.append(f"{1 / ratio:.2f} times as fast as the original there")
    return " ".join(words)
