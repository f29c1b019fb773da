"""The rungs in order, cheapest first, when to leave one out, and when to end."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from lilliput.core import Budget, LilliputError, Target, run
from lilliput.core.amounts import bytes_text
from lilliput.measure.chips import CODE_BYTES
from lilliput.registry import Variant
from lilliput.search.line import line_of
from lilliput.search.objectives import objectives_of
from lilliput.search.patience import Patience
from lilliput.search.plan import Clock
from lilliput.search.space import OBSERVERS, Point, Space
from lilliput.search.study import Objectives, explore
from lilliput.search.survey import Survey, survey
from lilliput.search.treat import treat
from lilliput.search.workshop import Workshop

__all__ = ["Ladder"]

_SHARES = (0.7, 0.5, 0.35)
_BITS = (8, 4)
_ROOM = 0.97
"""Of a limit, what is aimed at: a file is a little more than its weights, and times are noisy."""
_COMPOSED = Point(share=0.7, rank=0.7)
"""Fewer channels, and what is left of low rank."""
_SLOWER = 1.3
"""How many times longer than estimated an epoch may take before training is cut short."""


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
    _told: set[str] = field(default_factory=set, init=False)

    def climb(self) -> None:
        """Goes up until the rungs and the time are used up, or the front stops moving.

        Raises:
            LilliputError: The original runs on no target; the first one's reason.
        """
        self.workshop.store.forget_skipped()
        self._make_originals()
        self._quantize()
        self._treat()
        if self.clock.left_s() <= 0:
            self.tell(
                f"the time budget of {self.clock.limit_s:,.0f} s is spent before any training: "
                f"{self.clock.used_s():,.0f} s over all starts of this run; a longer one goes on"
            )
            return
        facts = survey(
            self.workshop.model,
            self.workshop.task,
            self.space.distill(1),
            self.targets,
            self.workshop.store,
            self.clock,
            has_times=self.space.counts == "latency",
        )
        self.space = self.space.informed(facts)
        self.workshop.epoch_limit_s = _SLOWER * facts.epoch_s
        self.note_time()
        for point in self._training_rungs(facts):
            self._try(point, facts)
        self._explore(facts)

    def _quantize(self) -> None:
        """The whole network without training: two observers, better rounding, 4 bits, the rest.

        A family has one int8 file at least; the others may take a third of the time budget.
        """
        first, second, *rest = OBSERVERS
        self._try_in_time(Point(observer=first))
        if self.space.is_float:
            return
        self._try_in_time(Point(observer=second))
        for bits in _BITS:
            self._try_in_time(Point(observer=self._best_observer(), bits=bits, is_rounded=True))
        for observer in rest:
            self._try_in_time(Point(observer=observer))

    def _treat(self) -> None:
        """Names the culprits and tries remedies where what was made without training loses much."""
        points = [point for point, _ in self.made]
        treat(self.workshop, self.targets, self.budget, self.space, points, self.clock, self.tell)
        self.note_time()

    def _try_in_time(self, point: Point) -> None:
        is_in_time = self.clock.used_s() < self.clock.limit_s / 3
        if is_in_time or not self.made or self._is_made(point):
            self._try(point)
        else:
            reason = "what needs no training may take a third of the time budget; give a longer one"
            self._leave_out(self.space.candidate(point).name, reason)

    def note_time(self) -> None:
        """Keeps the time used so far, for the next start of the same run."""
        self.workshop.store.note("spent_s", self.clock.used_s())

    def _make_originals(self) -> None:
        """Exports and measures the original for each target; leaves out those where that fails."""
        running, reasons = [], []
        for target in self.targets:
            try:
                self.tell(line_of(self.workshop.original(target)))
                running.append(target)
            except LilliputError as error:
                reasons.append(error)
                self.workshop.store.skip("original", target.name, str(error))
                self.tell(f"{target.name} is left out: {error}")
        if not running:
            raise reasons[0]
        self.targets = running

    def _is_made(self, point: Point) -> bool:
        return self.workshop.has(self.space.candidate(point), self._storing(point))

    def _training_rungs(self, facts: Survey) -> Iterator[Point]:
        """Int8-aware training of the whole network, then smaller ones.

        Where the whole network is too large, half of the time goes to what just fits.
        """
        observer = self._best_observer()
        aware = min(self._epochs(facts, 1.0, 0.10), 4)
        if aware:
            yield Point(aware_epochs=aware, observer=observer)
        else:
            self._leave_out("int8-aware training", _no_epoch(facts))
        aims = self._aims()
        time_share = 0.5 / len(aims) if aims else 0.0
        rest = [Point(share=share) for share in _SHARES if not aims or share < 0.9 * aims[0].share]
        shares = [(point, time_share) for point in aims]
        rest.append(_COMPOSED)
        shares += [(point, (0.25 if aims else 0.5) / len(rest)) for point in rest]
        seen: dict[float, str] = {1.0: "the whole network"}
        for point, share_of_time in shares:
            known = self._named(point)
            if known is None:
                continue
            name, left = known
            if left in seen:
                self._leave_out(name, f"widths that the runtime likes leave {seen[left]}")
                continue
            seen[left] = f"what {name} is"
            epochs = self._epochs(facts, self._work(point), share_of_time)
            if epochs:
                yield replace(point, epochs=epochs, observer=observer)
            else:
                self._leave_out(name, _no_epoch(facts))

    def _named(self, point: Point) -> tuple[str, float] | None:
        """A point's name and its share of the weights; None, and told, where it cannot be made."""
        try:
            return self.space.candidate(point).name, self._share_of_weights(point)
        except LilliputError as error:
            self._leave_out(self.space.name(point), str(error))
            return None

    def _aims(self) -> list[Point]:
        """Points just small or quick enough for every target: by channels, and by whole blocks."""
        share = min(
            _share(self.budget.max_size_bytes, self._of_whole("size")),
            _share(self.budget.max_flash_bytes, self._of_whole("flash"), CODE_BYTES),
            _share(self.budget.max_latency_ms, self._of_whole("latency")),
            _share(self.budget.max_instructions, self._of_whole("instructions")),
            *self._share_of_ram(),
        )
        if share >= 1:
            return []
        blocks = (Point(blocks=count) for count in range(1, len(self.space.blocks) + 1))
        fitting = (point for point in blocks if self.space.left_without(point.blocks) <= share)
        return [Point(share=share), *islice(fitting, 1)]

    def _share_of_ram(self) -> list[float]:
        """On microcontrollers: RAM goes with widths there, and weights with their square."""
        if not any(target.is_chip for target in self.targets):
            return []
        return [_share(self.budget.max_ram_bytes, self._of_whole("peak_ram")) ** 2]

    def _explore(self, facts: Survey) -> None:
        seeds = [pair for pair in self.made if all(map(math.isfinite, pair[1]))]
        longest = self._epochs(facts, 0.5, 0.4)
        if not seeds or not longest:
            return
        explore(
            evaluate=lambda point: self._try(self._within_time(point, facts), facts),
            seeds=seeds,
            proceed=self._patience(facts).proceed,
            max_blocks=len(self.space.blocks) // 2,
            max_epochs=longest,
            observer=self._best_observer(),
            seed=self.workshop.seed,
        )

    def _patience(self, facts: Survey) -> Patience:
        return Patience(
            front=self.front,
            made=lambda: len(self.made),
            clock=self.clock,
            tell=self.tell,
            least_s=_SHARES[-1] * facts.epoch_s,
            trials=self.trials,
        )

    def _within_time(self, point: Point, facts: Survey) -> Point:
        """The point with as much of its training as the time left allows, an epoch at least."""
        most = max(1, int(self.clock.left_s() / (facts.epoch_s * self._work(point))))
        epochs = min(point.epochs, most)
        return replace(point, epochs=epochs, aware_epochs=min(point.aware_epochs, most - epochs))

    def _try(self, point: Point, facts: Survey | None = None) -> Objectives | None:
        """Makes a point for every target; gives what to minimise: drop, size, latency ratio."""
        try:
            candidate = self.space.candidate(point)
        except LilliputError as error:
            self._leave_out(self.space.name(point), str(error))
            return None
        reason = self._too_much(point, facts) if facts else ""
        if reason and not self._is_made(point):
            self._leave_out(candidate.name, reason)
            return None
        self.note_time()
        needed = self._needed_s(point, facts) if facts else 0.0
        if needed and not self._is_made(point):
            self.tell(f"{candidate.name}: training for about {_minutes(needed)}")
        made = []
        storing = self._storing(point)
        self._skip_others(candidate.name, storing)
        for target in storing:
            variant = self.workshop.make(candidate, target)
            if variant is None:
                reason = self.workshop.store.reason(candidate.name, target.name)
                self.tell(f"{candidate.name} on {target.name}: failed, {reason}")
            else:
                is_new = variant.name == candidate.name
                self.tell(line_of(variant) if is_new else f"{candidate.name}: as {variant.name}")
                self._tell_notes(variant)
                made.append(variant)
        self.note_time()
        if not made:
            return None
        self.made.append((point, objectives_of(made)))
        return self.made[-1][1]

    def _tell_notes(self, variant: Variant) -> None:
        """What the target does otherwise than asked for, each line once."""
        for note in variant.details.get("notes") or ():
            line = f"note for {variant.target}: {note}"
            if line not in self._told:
                self._told.add(line)
                self.tell(line)

    def _storing(self, point: Point) -> list[Target]:
        """The targets whose files hold weights of that width."""
        return [t for t in self.targets if t.rules is None or point.bits in t.rules.stored_bits]

    def _skip_others(self, name: str, storing: Sequence[Target]) -> None:
        """Notes the targets whose files do not."""
        for target in self.targets:
            if target not in storing and target.rules is not None:
                reason = f"its files hold weights of {sorted(target.rules.stored_bits)} bits"
                self.workshop.store.skip(name, target.name, reason)

    def _too_much(self, point: Point, facts: Survey) -> str:
        """Why the point cannot meet the budget or the time left; "" where it may."""
        limit = self.budget.max_size_bytes
        size = min(self._of_whole("size"), default=0.0) * self._share_of_weights(point)
        if limit is not None and size > 1.1 * limit:
            return f"about {bytes_text(size)}; the budget allows {bytes_text(limit)}"
        limit, whole = self.budget.max_flash_bytes, min(self._of_whole("flash"), default=0.0)
        share = self._share_of_weights(point) * point.bits / 8
        flash = min(whole, CODE_BYTES + (whole - CODE_BYTES) * share)
        if limit is not None and flash > 1.1 * limit:
            return f"about {bytes_text(flash)} of flash; the budget allows {bytes_text(limit)}"
        needed = self._needed_s(point, facts)
        left = max(self.clock.left_s(), 0.0)
        if needed > left:
            return f"training takes about {needed:,.0f} s; {left:,.0f} s are left"
        return ""

    def _needed_s(self, point: Point, facts: Survey) -> float:
        """How long its training takes, as far as the survey can tell."""
        return (point.epochs + point.aware_epochs) * facts.epoch_s * self._work(point)

    def _work(self, point: Point) -> float:
        """About what share of the whole network's time a step of training takes."""
        return point.share * point.rank if self.space.counts != "bytes" else point.rank

    def _of_whole(self, quantity: str) -> list[float]:
        """For each target, the least that a file of the network with all its weights takes."""
        names = {
            self.space.candidate(point).name
            for point, _ in self.made
            if point.share == point.rank == 1 and not point.blocks and point.bits == 8
        }
        found: dict[str, list[float]] = {}
        for variant in self.workshop.store.family():
            value = variant.value(quantity)
            if variant.name in names and value is not None:
                found.setdefault(variant.target, []).append(value)
        return [min(of_target) for of_target in found.values()]

    def _share_of_weights(self, point: Point) -> float:
        """What the point's architecture leaves of the parameters."""
        original = self.workshop.model
        small = run(original, self.space.shape(point))
        left, whole = (sum(p.numel() for p in m.module.parameters()) for m in (small, original))
        return left / whole

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
            for x in (("flash", "instructions") if target.is_chip else ("size", "latency"))
            for v in family.front(x=x, y="metric", target=target.name)
        ]
        return frozenset(ids)


def _share(limit: float | None, wholes: Sequence[float], fixed: float = 0.0) -> float:
    """What may be left of the whole network so that the largest of its files keeps a limit.

    Args:
        limit: Of what is counted; None for none.
        wholes: What files of the whole network take.
        fixed: What of that stays, however small the network is.
    """
    whole = max(wholes, default=0.0)
    if limit is None or whole <= limit:
        return 1.0
    fixed = min(fixed, limit / 2)
    return max(_ROOM * (limit - fixed) / (whole - fixed), 0.02)


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:,.0f} min" if seconds >= 90 else f"{seconds:,.0f} s"


def _no_epoch(facts: Survey) -> str:
    return (
        f"an epoch takes about {facts.epoch_s:,.0f} s and {max(facts.left_s, 0):,.0f} s were left "
        "for all training; a longer time budget allows it"
    )
