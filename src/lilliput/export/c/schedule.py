"""The quickest order of calls whose arena fits: whole maps, or rows that stream."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile

from lilliput.export.c.lower.quicker import quick
from lilliput.export.c.lower.rows import Rows
from lilliput.export.c.lower.step import Program
from lilliput.export.c.lower.sums import with_sums
from lilliput.export.c.packing import Packing, packed
from lilliput.export.c.plan import Plan, needs_of, plan_of
from lilliput.export.c.stream import Stream, can_stream, streamed

__all__ = ["Schedule", "schedule"]

_TRIES = 20
"""Streams that are packed, until one fits."""
_MOST_ROUNDS = 1024
"""Of a stream, so that the search for one ends soon."""
_ROWS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)


@dataclass(frozen=True, eq=False)
class Schedule:
    """Calls in order, and where their tensors lie.

    Args:
        program: The calls.
        plan: The arena.
        stream: Layers through which rows stream; None where all maps are whole.
    """

    program: Program
    plan: Plan
    stream: Stream | None = None


def schedule(
    program: Program, max_ram_bytes: float | None = None, packing: Packing | None = None
) -> Schedule:
    """Whole maps if they fit; else the fewest calls that do; else the smallest arena found.

    Args:
        program: As it was lowered.
        max_ram_bytes: Most bytes for the arena; None for no limit.
        packing: Which weights are packed; if all, then none where that takes too large an arena.
    """
    packing = packing or Packing()
    found = _fitting(program, max_ram_bytes, packing)
    if packing.all and max_ram_bytes is not None and found.plan.size > max_ram_bytes:
        plain = _fitting(program, max_ram_bytes, Packing())
        return min(plain, found, key=lambda s: s.plan.size)
    return found


def _fitting(program: Program, max_ram_bytes: float | None, packing: Packing) -> Schedule:
    """As `schedule`, with this packing and no other."""
    whole = packed(quick(program), packing)
    best = Schedule(whole, plan_of(whole))
    if max_ram_bytes is None or best.plan.size <= max_ram_bytes:
        return best
    summed = with_sums(program)
    trials = [
        trial for layers in _runs(summed, best) for trial in _largest(summed, layers, max_ram_bytes)
    ]
    trials.sort(key=lambda t: (max(0.0, t.bound - max_ram_bytes), t.calls))
    for trial in trials[:_TRIES]:
        if trial.bound >= best.plan.size:
            break
        calls = packed(quick(streamed(summed, trial.stream)), packing)
        found = Schedule(calls, plan_of(calls), trial.stream)
        best = min(best, found, key=lambda s: s.plan.size)
        if best.plan.size <= max_ram_bytes:
            break
    return best


@dataclass(frozen=True)
class _Trial:
    """What a stream needs at least, and how many calls it takes."""

    stream: Stream
    bound: int
    calls: int


def _runs(summed: Program, whole: Schedule) -> Iterator[range]:
    """Layers next to each other that go row by row, among them the one that needs most."""
    steps = summed.steps
    layer = whole.program.steps[whole.plan.peak].layer
    peak = next(k for k, step in enumerate(steps) if step.layer == layer)
    by_rows = [can_stream(summed, step) for step in steps]
    if not by_rows[peak]:
        return
    first = peak - len(list(takewhile(bool, by_rows[peak::-1]))) + 1
    last = peak + len(list(takewhile(bool, by_rows[peak:])))
    for start in sorted({first, max(first, peak - 1), peak}):
        for stop in range(peak + 1, last + 1):
            if stop - start > 1:
                yield range(start, stop)


def _largest(summed: Program, layers: range, max_ram_bytes: float) -> Iterator[_Trial]:
    """As many rows at a time as fit, or one; more rows never need less."""
    steps = summed.steps[layers.start : layers.stop]
    tallest = max(Rows.of(summed.network, step).height for step in steps)
    choices = [rows for rows in _ROWS if tallest // rows <= _MOST_ROUNDS]
    low, high = 0, len(choices) - 1
    while low <= high:
        middle = (low + high) // 2
        stream = Stream(layers, choices[middle])
        program = quick(streamed(summed, stream))
        trial = _Trial(stream, max(needs_of(program), default=0), len(program.steps))
        fits = trial.bound <= max_ram_bytes
        if fits or middle == 0:
            yield trial
        low, high = (middle + 1, high) if fits else (low, middle - 1)
