"""Where each tensor lies in the arena, and when."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lilliput.export.c.lower.step import Program, Step

__all__ = ["Life", "Plan", "plan_of", "scratch_of"]

_ALIGNMENT = 4
_ORDERS = 200
"""Orders tried, until one reaches the bound."""


@dataclass(frozen=True)
class Life:
    """Bytes that are needed from one step to another, both included."""

    size: int
    first: int
    last: int

    def meets(self, other: "Life") -> bool:
        """Whether both are needed at once."""
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True, eq=False)
class Plan:
    """The arena.

    Args:
        offsets: Of tensors that lie in it, by their index, and of steps' scratch.
        size: Bytes of the whole.
        bound: Bytes that are needed at once at least, for these steps in this order.
        peak: The step at which they are.
    """

    offsets: Mapping[int, int]
    size: int
    bound: int
    peak: int


def plan_of(program: Program) -> Plan:
    """The smallest of many packings, largest first and in orders drawn at random.

    Inputs and outputs of the network are the caller's and take no place, unless one is both read
    from its caller and changed. A step that may write where it reads does, where that is the last
    time that anybody reads there.
    """
    shared = _in_place(program)
    lives = _lives(program, shared)
    steps = range(len(program.steps))
    needs = [sum(x.size for x in lives.values() if x.first <= k <= x.last) for k in steps]
    bound = max(needs, default=0)
    peak = needs.index(bound) if needs else 0
    order = sorted(lives, key=lambda t: (-lives[t].size, lives[t].first))
    generator = random.Random(0)  # noqa: S311  no secret
    best = _packed(lives, order)
    for _ in range(_ORDERS):
        if _height(best, lives) <= bound:
            break
        trial = _packed(lives, order)
        best = min(best, trial, key=lambda offsets: _height(offsets, lives))
        generator.shuffle(order)
    offsets = {
        tensor: best[_root(shared, tensor)]
        for tensor in [*lives, *shared]
        if _root(shared, tensor) in best
    }
    return Plan(offsets, _height(best, lives), bound, peak)


def scratch_of(step: int) -> int:
    """What stands among the tensors for the scratch of a step."""
    return -1 - step


def _in_place(program: Program) -> dict[int, int]:
    """Outputs that take the place of an input."""
    last: dict[int, int] = {}
    for when, step in enumerate(program.steps):
        for tensor in step.reads:
            last[program.place_of(tensor)] = when
    writers = [program.place_of(step.writes) for step in program.steps]
    ends = _ends(program)
    found: dict[int, int] = {}
    for when, step in enumerate(program.steps):
        if not step.is_in_place:
            continue
        read, written = program.place_of(step.reads[0]), program.place_of(step.writes)
        is_free = read not in ends and written not in ends and last[read] == when
        is_alone = writers.count(written) == 1 and program.network.tensors[read].data is None
        if is_free and is_alone and _reads_once(program, step, read):
            found[written] = read
    return found


def _reads_once(program: Program, step: Step, place: int) -> bool:
    return [program.place_of(t) for t in step.reads].count(place) == 1


def _ends(program: Program) -> set[int]:
    network = program.network
    return {program.place_of(t) for t in (*network.inputs, *network.outputs)}


def _lives(program: Program, shared: Mapping[int, int]) -> dict[int, Life]:
    spans: dict[int, list[int]] = {}
    for when, step in enumerate(program.steps):
        for tensor in (*step.reads, step.writes):
            place = _root(shared, program.place_of(tensor))
            spans.setdefault(place, []).append(when)
    skipped = _ends(program)
    tensors = program.network.tensors
    scratch = {
        scratch_of(when): Life(_aligned(step.scratch), when, when)
        for when, step in enumerate(program.steps)
        if step.scratch
    }
    return scratch | {
        place: Life(_aligned(tensors[place].count), min(when), max(when))
        for place, when in spans.items()
        if place not in skipped and tensors[place].data is None
    }


def _root(shared: Mapping[int, int], tensor: int) -> int:
    while tensor in shared:
        tensor = shared[tensor]
    return tensor


def _packed(lives: Mapping[int, Life], order: Sequence[int]) -> dict[int, int]:
    """Each as low as it can lie beside those before it."""
    offsets: dict[int, int] = {}
    for tensor in order:
        life, offset = lives[tensor], 0
        others = sorted((offsets[t], lives[t].size) for t in offsets if lives[t].meets(life))
        for start, size in others:
            if start >= offset + life.size:
                break
            offset = max(offset, start + size)
        offsets[tensor] = offset
    return offsets


def _height(offsets: Mapping[int, int], lives: Mapping[int, Life]) -> int:
    return max((offsets[t] + lives[t].size for t in offsets), default=0)


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
