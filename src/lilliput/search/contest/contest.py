"""Makes every run of a comparison, each on disk the moment it is measured."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from lilliput.core import MeasureError, Target
from lilliput.core.progress import track
from lilliput.measure import measure_test
from lilliput.registry import Variant
from lilliput.search.candidate import Candidate
from lilliput.search.contest.arms import Arm
from lilliput.search.contest.comparison import LeftOut
from lilliput.search.contest.lesson import Lesson
from lilliput.search.workshop import Workshop

__all__ = ["Contest"]


@dataclass(eq=False)
class Contest:
    """Trains, exports and measures each arm with each seed.

    Args:
        workshop: Makes variants; it has the original.
        target: Where they run.
        arms: What is compared.
        lesson: How all are trained.
        seeds: Each arm is trained once with each.
        tell: Receives a line for each run.
        done: What is finished, by the arm's name and the seed.
        left_out: What could not be made.
    """

    workshop: Workshop
    target: Target
    arms: Sequence[Arm]
    lesson: Lesson
    seeds: Sequence[int]
    tell: Callable[[str], None]
    done: dict[str, dict[int, Variant]] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)

    def run(self) -> None:
        """Makes what is not on disk yet, seed by seed, so that a stopped run has every arm."""
        pairs = [(seed, arm) for seed in self.seeds for arm in self.arms if not arm.same_as]
        for seed, arm in track(pairs, "runs of the comparison"):
            # one workshop for each seed: it names the work, and is kept with the variant
            workshop = replace(self.workshop, seed=seed)
            candidate = self._candidate(arm, seed)
            made = workshop.make(candidate, self.target)
            if made is None:
                reason = workshop.store.reason(candidate.name, self.target.name)
                self.left_out.append(LeftOut(arm.name, seed, reason))
                self.tell(f"{arm.name}, seed {seed}: failed, {reason}")
                continue
            for name in (arm.name, *(a.name for a in self.arms if a.same_as == arm.name)):
                self.done.setdefault(name, {})[seed] = made
            self.tell(f"{arm.name}, seed {seed}: metric {made.value('metric'):.4g}")

    def read_test(self, original: Variant) -> Variant:
        """Scores all on test data, once; gives the original with its score."""
        reference = self.workshop.references[self.target.name]
        for variant in track([original, *self._variants().values()], "test data"):
            if variant.value("test_metric") is not None:
                continue
            try:
                found = measure_test(variant.artifact, self.target, self.workshop.task, reference)
                self.workshop.store.update(variant.id, found)
            except MeasureError as error:
                self.tell(f"{variant.name}: no test figure, {error}")
        for runs in self.done.values():
            runs.update({seed: self._stored(variant) for seed, variant in runs.items()})
        return self._stored(original)

    def _candidate(self, arm: Arm, seed: int) -> Candidate:
        training = arm.training(self.lesson, seed)
        return Candidate(f"{arm.slug}-seed{seed}", arm.start(seed), lambda _: (training,))

    def _variants(self) -> dict[str, Variant]:
        """All that are finished, once each, by id."""
        return {variant.id: variant for runs in self.done.values() for variant in runs.values()}

    def _stored(self, variant: Variant) -> Variant:
        """The variant as the store has it now."""
        found = self.workshop.store.find(variant.key)
        assert found is not None  # noqa: S101  it was made in this run
        return found
