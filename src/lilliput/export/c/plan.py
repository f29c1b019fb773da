"""Where each tensor lies in the arena, and when."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from lilliput.export.c.lower.step import Program, Step

__all__ = ["Life", "Plan", "needs_of", "plan_of", "scratch_of"]

_ALIGNMENT = 4
_ORDERS = 200
"""Orders tried, until one reaches the bound."""
_ANY = 1 << 62
_Near = Mapping[tuple[int, int], range]
"""For a tensor that is written and one that is read: how far behind the first the second begins."""


@dataclass(frozen=True)
class Life:
    """Bytes that are needed during some steps.

    Args:
        size: How many.
        when: A bit for each step.
    """

    size: int
    when: int

    @property
    def first(self) -> int:
        """The first step at which they are needed."""
        return (self.when & -self.when).bit_length() - 1

    @property
    def last(self) -> int:
        """The last such step."""
        return self.when.bit_length() - 1

    def meets(self, other: "Life") -> bool:
        """Whether both are needed at once."""
        return self.when & other.when != 0


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
    """The smallest of many packings.

    Outputs of the network are the caller's and take no place. A step may write over what it reads
    for the last time, as far as it has read it.
    """
    lives = _lives(program)
    near = _near(program, lives)
    needs = _needs(lives, near, len(program.steps))
    bound = max(needs, default=0)
    peak = needs.index(bound) if needs else 0
    packings = (_packed(lives, near, order) for order in _orders(lives))
    best = next(packings)
    for trial in packings:
        if _height(best, lives) <= bound:
            break
        best = min(best, trial, key=lambda offsets: _height(offsets, lives))
    return Plan(best, _height(best, lives), bound, peak)


def needs_of(program: Program) -> list[int]:
    """Bytes that each step needs at least, with what lives beside it; no packing is below."""
    lives = _lives(program)
    return _needs(lives, _near(program, lives), len(program.steps))


def _orders(lives: Mapping[int, Life]) -> Iterator[list[int]]:
    """The largest first; the last first, so that each lies below what it is made of; any.

    Scratch is negative, see `scratch_of`, and fills gaps.
    """
    yield sorted(lives, key=lambda t: (-lives[t].size, lives[t].first))
    order = sorted(lives, key=lambda t: (t < 0, -lives[t].last, -lives[t].first))
    yield list(order)
    generator = random.Random(0)  # noqa: S311  no secret
    for _ in range(_ORDERS):
        generator.shuffle(order)
        yield list(order)


def scratch_of(step: Step) -> int:
    """What stands among the tensors for the scratch of a step; calls of one layer share it."""
    return -1 - (step.layer or 0)


def _lives(program: Program) -> dict[int, Life]:
    """When each place in the arena is needed; inputs are there from the beginning."""
    network = program.network
    outputs = {program.place_of(tensor) for tensor in network.outputs}
    spans: dict[int, list[tuple[int, int]]] = {
        program.place_of(tensor): [(0, 0)] for tensor in network.inputs
    }
    scratch: dict[int, Life] = {}
    for when, step in enumerate(program.steps):
        for tensor in (*step.reads, step.writes):
            seen = spans.setdefault(program.place_of(tensor), [])
            is_new = not seen or (step.fills and tensor == step.writes)
            first, _ = (when, when) if is_new else seen.pop()
            seen.append((first, when))
        if step.scratch:
            before = scratch.get(scratch_of(step), Life(0, 0))
            size = max(before.size, _aligned(step.scratch))
            scratch[scratch_of(step)] = Life(size, before.when | 1 << when)
    lives = {
        place: Life(_aligned(network.tensors[place].count), sum(map(_bits, seen)))
        for place, seen in spans.items()
        if place not in outputs and network.tensors[place].data is None
    }
    return lives | scratch


def _bits(span: tuple[int, int]) -> int:
    """Ones from a first step to a last."""
    first, last = span
    return (1 << last + 1) - (1 << first)


def _near(program: Program, lives: Mapping[int, Life]) -> _Near:
    """For what is written and read in one step for the last time: how far behind it may begin."""
    found: dict[tuple[int, int], range] = {
        pair: range(_aligned(least), _ANY)
        for pair, least in program.distances.items()
        if all(place in lives for place in pair)
    }
    for when, step in enumerate(program.steps):
        written = program.place_of(step.writes)
        places = [program.place_of(tensor) for tensor in step.reads]
        allowed = {which: range(_aligned(least), _ANY) for which, least in step.distances.items()}
        for which, offsets in (allowed | dict.fromkeys(step.in_place, range(1))).items():
            read = places[which]
            is_alone = read in lives and written in lives and places.count(read) == 1
            if is_alone and lives[read].last == when == lives[written].first:
                found[written, read] = offsets
    return found


def _needs(lives: Mapping[int, Life], near: _Near, steps: int) -> list[int]:
    """As `needs_of`."""
    change = [0] * (steps + 1)
    for life in lives.values():
        _add(change, life.when, life.size)
    for (written, read), offsets in near.items():
        a, b = lives[written], lives[read]
        saved = min(a.size, b.size, max(0, a.size - offsets.start))
        _add(change, a.when & b.when, -saved)
    return list(accumulate(change[:-1]))


def _add(change: list[int], when: int, size: int) -> None:
    """Where runs of ones begin and end."""
    step = 0
    while when:
        zeros = (when & -when).bit_length() - 1
        when >>= zeros
        ones = (~when & (when + 1)).bit_length() - 1
        when >>= ones
        change[step + zeros] += size
        step += zeros + ones
        change[step] -= size


def _packed(lives: Mapping[int, Life], near: _Near, order: Sequence[int]) -> dict[int, int]:
    """Each as low as it can lie beside those before it."""
    offsets: dict[int, int] = {}
    for tensor in order:
        life = lives[tensor]
        others = [t for t in offsets if lives[t].meets(life)]
        places = {0, *(offsets[t] + lives[t].size for t in others)}
        for t in others:
            if (t, tensor) in near:
                places.add(max(0, offsets[t] + near[t, tensor].start))
            if (tensor, t) in near:
                places.add(max(0, min(offsets[t], offsets[t] - near[tensor, t].start)))
        offsets[tensor] = next(
            place
            for place in sorted(places)
            if all(_are_apart((tensor, place), (t, offsets[t]), lives, near) for t in others)
        )
    return offsets


def _are_apart(
    first: tuple[int, int],
    second: tuple[int, int],
    lives: Mapping[int, Life],
    near: _Near,
) -> bool:
    """Whether two that live at once may lie at these offsets."""
    (a, at), (b, bt) = first, second
    if at + lives[a].size <= bt or bt + lives[b].size <= at:
        return True
    return bt - at in near.get((a, b), ()) or at - bt in near.get((b, a), ())


def _height(offsets: Mapping[int, int], lives: Mapping[int, Life]) -> int:
    return max((offsets[t] + lives[t].size for t in offsets), default=0)


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
