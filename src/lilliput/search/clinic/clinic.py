"""Finds what quantization costs and where, tries the remedies, tells what each bought."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from lilliput.core import Budget, LilliputError, Measurement, Model, Target, run
from lilliput.measure import score
from lilliput.measure.accuracy import Scores, difference
from lilliput.registry import Variant
from lilliput.search.clinic.culprits import Found
from lilliput.search.clinic.diagnosis import Culprit, Diagnosis, Tried
from lilliput.search.clinic.examination import examine, worst_layers
from lilliput.search.clinic.remedies import REMEDIES, Case, Remedy
from lilliput.search.clinic.treatment import Treatment
from lilliput.search.workshop import Workshop
from lilliput.train import Distill

__all__ = ["Clinic", "drop_line"]

_NAMED = 3
"""Of the culprits, how many the line of a diagnosis names."""


def always() -> bool:
    """Goes on."""
    return True


@dataclass(eq=False)
class Clinic:
    """Treats one network for one target.

    Args:
        workshop: Makes and measures variants; it has the original.
        target: Where they are to run.
        max_drop: When it is well.
        tell: Receives a line for each finding and each variant.
        samples: Validation examples that the analysis looks at.
        training: The last remedy; None for no training.
        only: Places to look at.
        proceed: Asked before each variant.
        remedies: What is tried, in order.
    """

    workshop: Workshop
    target: Target
    max_drop: float
    tell: Callable[[str], None]
    samples: int = 128
    training: Distill | None = None
    only: Sequence[str] = ("*",)
    proceed: Callable[[], bool] = always
    remedies: Sequence[Remedy] = REMEDIES
    _tried: list[Tried] = field(default_factory=list)
    _culprits: tuple[Culprit, ...] = ()
    _examined: str = ""

    def diagnose(self, start: Treatment) -> Diagnosis:
        """Examines the network as `start` quantizes it, and treats it until it is well.

        The diagnosis is kept in the run's notes after each step.

        Raises:
            LilliputError: The first variant cannot be made.
        """
        variant = self.workshop.make(start.candidate(), self.target)
        if variant is None:
            reason = self.workshop.store.reason(start.name, self.target.name)
            raise LilliputError(f"{start.name} on {self.target.name}: {reason}")
        self._tried = [Tried("", variant.name, variant.id, variant.measurement("drop"), None, True)]
        self.tell(f"{variant.name} on {self.target.name}: {drop_line(variant)}")
        found, self._culprits, along = examine(
            self._model(start), variant.artifact, self.workshop.task, self.samples, self.only
        )
        self._examined = start.name
        self.tell(self._verdict(found))

        def diagnosis(best: Variant) -> Diagnosis:
            made = Diagnosis(
                target=self.target.name,
                bits=start.bits,
                max_drop=self.max_drop,
                divergence=found.divergence,
                samples=found.samples,
                whole=found.whole.drop,
                whole_divergence=found.whole.divergence,
                culprits=self._culprits,
                signals=along,
                tried=tuple(self._tried),
                variant=best.name,
                id=best.id,
                is_within=self._is_well(best),
            )
            self._note(made)
            return made

        diagnosis(variant)
        return self._treat(start, variant, diagnosis)

    def _treat(
        self, now: Treatment, best: Variant, diagnosis: Callable[[Variant], Diagnosis]
    ) -> Diagnosis:
        case = Case(self._worst, self.training)
        for remedy in self.remedies:
            if self._is_well(best):
                break
            for option in remedy.options(now, case):
                if self._is_well(best) or not self.proceed():
                    break
                made = self._try(remedy, option, best)
                if made is not None:
                    now, best = option, made
                diagnosis(best)
        return diagnosis(best)

    def _try(self, remedy: Remedy, option: Treatment, best: Variant) -> Variant | None:
        """Makes a variant and compares it; gives it where it is better than the best so far."""
        layers = tuple(option.raised) + option.floats
        made = self.workshop.make(option.candidate(best.name), self.target)
        if made is None:
            reason = self.workshop.store.reason(option.name, self.target.name)
            self._tried.append(Tried(remedy.name, option.name, layers=layers, reason=reason))
            self.tell(f"{remedy.name}: {option.name} failed, {reason}")
            return None
        bought = self._bought(made, best)
        is_better = bought.value > 0
        drop = made.measurement("drop")
        self._tried.append(Tried(remedy.name, made.name, made.id, drop, bought, is_better, layers))
        words = f"bought {_with_ends(bought)}{'' if is_better else ', not kept'}"
        self.tell(f"{remedy.name}: {made.name} {words}; {drop_line(made)}")
        return made if is_better else None

    def _bought(self, made: Variant, best: Variant) -> Measurement:
        """How much better the one is than the other, in its own runtime."""
        task = self.workshop.task
        ours, theirs = self._scores(made), self._scores(best)
        value, ends = difference(theirs, ours, task.higher_is_better)
        low, high = (ends.low, ends.high) if ends else (None, None)
        metric = made.measurement("metric")
        device = metric.device if metric else self.target.name
        unit = type(task.metric).__name__
        return Measurement("bought", value, unit, "measured", device, ours.samples, low, high)

    def _scores(self, variant: Variant) -> Scores:
        cache = self.workshop.folder / "scores"
        return score(variant.artifact, self.target, self.workshop.task, cache=cache)

    def _worst(self, now: Treatment) -> Sequence[str]:
        """The costliest layers of the network as it is now."""
        if now.name == self._examined and tuple(self.only) == ("*",):
            return [c.name for c in self._culprits if c.weights is not None]
        return worst_layers(self._model(now), self.workshop.task, self.samples)

    def _model(self, treatment: Treatment) -> Model:
        assert self.target.rules is not None  # noqa: S101
        return run(self.workshop.model, treatment.passes(self.target.rules))

    def _is_well(self, variant: Variant) -> bool:
        return not Budget(max_drop=self.max_drop).misses(variant.measurements)

    def _verdict(self, found: Found) -> str:
        named = [c for c in self._culprits if c.weights is not None][:_NAMED]
        said = ", ".join(f"{c.name} ({found.divergence} {c.alone_divergence:.3g})" for c in named)
        return f"quantized alone, these cost most (simulated): {said or 'none'}"

    def _note(self, made: Diagnosis) -> None:
        store = self.workshop.store
        known = store.notes().get("diagnoses", {})
        store.note("diagnoses", {**known, f"{made.target} {made.bits} bits": made.as_dict()})


def drop_line(variant: Variant) -> str:
    """The drop from the original with its interval."""
    drop = variant.measurement("drop")
    return "drop unknown" if drop is None else f"drop {_with_ends(drop)}"


def _with_ends(found: Measurement) -> str:
    if found.low is None or found.high is None:
        return f"{found.value:.4g}"
    return f"{found.value:.4g} ({found.low:.4g} to {found.high:.4g})"
