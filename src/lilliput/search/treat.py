"""What a search does where the files that needed no training lose too much: asks why, and helps."""

from collections.abc import Callable, Sequence

from lilliput.core import Budget, LilliputError, Target, Task
from lilliput.quantize import RoundSecondOrder
from lilliput.registry import Variant
from lilliput.search.clinic.clinic import Clinic
from lilliput.search.clinic.treatment import Treatment
from lilliput.search.plan import Clock
from lilliput.search.space import Point, Space
from lilliput.search.workshop import Workshop

__all__ = ["treat"]

_TIME = 0.5
"""Share of the time budget after which nothing more is tried without training."""


def treat(  # noqa: PLR0913, PLR0917
    workshop: Workshop,
    targets: Sequence[Target],
    budget: Budget,
    space: Space,
    points: Sequence[Point],
    clock: Clock,
    tell: Callable[[str], None],
) -> None:
    """Diagnoses and treats each target's files of each width that miss `max_drop` beyond noise.

    Args:
        workshop: Makes variants; has made those of `points`.
        targets: Where they run.
        budget: Without `max_drop`, nothing is done.
        space: Gives the points' candidates.
        points: Those made without training.
        clock: After half of the time budget nothing more is tried.
        tell: Receives the lines.
    """
    if budget.max_drop is None:
        return
    for target in (target for target in targets if target.rules is not None):
        for bits in sorted({point.bits for point in points}, reverse=True):
            point, best = _best(workshop, target, space, [p for p in points if p.bits == bits])
            name = f"{target.name} {bits} bits"
            done: list[str] = workshop.store.notes().get("treated", [])
            if point is None or best is None or not _misses(best, budget.max_drop) or name in done:
                continue
            if not _has_time(clock):
                tell(f"{best.name} on {target.name} loses too much; a longer time budget finds why")
                continue
            tell(f"{best.name} on {target.name} loses more than the budget allows; looking for why")
            clinic = Clinic(
                workshop, target, budget.max_drop, tell, proceed=lambda: _has_time(clock)
            )
            try:
                clinic.diagnose(_start(point, workshop.task))
            except LilliputError as error:
                tell(f"{name}: no diagnosis, {error}")
            workshop.store.note("treated", [*done, name])


def _has_time(clock: Clock) -> bool:
    return clock.used_s() < _TIME * clock.limit_s


def _best(
    workshop: Workshop, target: Target, space: Space, points: Sequence[Point]
) -> tuple[Point | None, Variant | None]:
    """The point of the least drop there, and its variant."""
    made: list[tuple[float, Point, Variant]] = []
    for point in points:
        variant = workshop.store.find(workshop.key(space.candidate(point), target))
        drop = variant.value("drop") if variant else None
        if variant is not None and drop is not None:
            made.append((drop, point, variant))
    _, point_or_none, best = min(made, key=lambda found: found[0], default=(0.0, None, None))
    return point_or_none, best


def _misses(variant: Variant, max_drop: float) -> bool:
    """Whether the drop is above the limit by more than noise."""
    drop = variant.measurement("drop")
    return drop is not None and drop.low is not None and drop.low > max_drop


def _start(point: Point, task: Task) -> Treatment:
    """The point as a treatment: the same recipe."""
    rounding = (RoundSecondOrder(task),) if point.is_rounded else ()
    start = Treatment(task, point.bits, point.observer, rounding=rounding)
    return start.called("rounded") if rounding else start
