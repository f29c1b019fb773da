"""Calls in order as C, those that repeat as loops."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

__all__ = ["Argument", "Call", "calls_text"]

_LONGEST = 128
"""Calls of a loop's body at most, so that the search ends soon."""
_COUNTERS = "ijkl"


@dataclass(frozen=True)
class Argument:
    """A pointer.

    Args:
        base: An expression.
        offset: Bytes behind it.
        steps: Bytes by which it moves on with each round of the loops around it, the outermost
            first.
    """

    base: str
    offset: int = 0
    steps: tuple[int, ...] = ()

    def __str__(self) -> str:
        moves = zip(self.steps, _COUNTERS, strict=False)
        parts = [f"{step} * {counter}" for step, counter in moves if step]
        return " + ".join([self.base, *[str(self.offset)] * bool(self.offset), *parts])


@dataclass(frozen=True)
class Call:
    """A statement.

    Args:
        kernel: The function.
        told: The struct it is given.
        arguments: What else it is given.
        then: A statement after it, or "".
    """

    kernel: str
    told: str
    arguments: tuple[Argument, ...]
    then: str = ""

    def is_like(self, other: "Call") -> bool:
        """Whether only offsets differ."""
        return (self.kernel, self.told, self.then) == (other.kernel, other.told, other.then) and [
            (a.base, a.steps) for a in self.arguments
        ] == [(a.base, a.steps) for a in other.arguments]


@dataclass(frozen=True)
class _Loop:
    """The first calls, `period` of them, as often as they repeat with offsets that grow evenly."""

    period: int
    rounds: int

    @property
    def length(self) -> int:
        return self.period * self.rounds


_ONCE = _Loop(1, 1)


def calls_text(calls: Sequence[Call], depth: int = 0) -> Iterator[str]:
    """Lines of a function's body."""
    indent = "    " * (depth + 1)
    for start, loop in _fewest(calls) if depth < len(_COUNTERS) else _all(calls):
        call = calls[start]
        if loop == _ONCE:
            given = ", ".join([f"&{call.told}", *map(str, call.arguments)])
            yield f"{indent}{call.kernel}({given});"
            if call.then:
                yield f"{indent}{call.then}"
            continue
        counter = _COUNTERS[depth]
        yield f"{indent}for (int32_t {counter} = 0; {counter} < {loop.rounds}; {counter}++) {{"
        yield from calls_text([*_body(calls, start, loop)], depth + 1)
        yield f"{indent}}}"


def _all(calls: Sequence[Call]) -> Iterator[tuple[int, _Loop]]:
    return ((start, _ONCE) for start in range(len(calls)))


def _fewest(calls: Sequence[Call]) -> Iterator[tuple[int, _Loop]]:
    """Where to begin which loop, so that the fewest lines are written."""
    count = len(calls)
    best: list[_Loop] = [_ONCE] * count
    lines = [0] * (count + 1)
    for start in reversed(range(count)):
        options = [_ONCE, *_loops(calls, start)]
        costs = [
            lines[start + o.length] + o.period + 2 * (o.rounds > 1) for o in options
        ]  # a loop has two lines of its own
        lines[start] = min(costs)
        best[start] = options[costs.index(lines[start])]
    start = 0
    while start < count:
        yield start, best[start]
        start += best[start].length


def _loops(calls: Sequence[Call], start: int) -> Iterator[_Loop]:
    """Those that may begin at a call, each with as many rounds as there are."""
    for period in range(1, min(_LONGEST, (len(calls) - start) // 2) + 1):
        if not calls[start].is_like(calls[start + period]):
            continue
        rounds = 1
        while start + period * (rounds + 1) <= len(calls) and all(
            _goes_on(calls, start + k, period, rounds) for k in range(period)
        ):
            rounds += 1
        if rounds > 1:
            yield _Loop(period, rounds)


def _goes_on(calls: Sequence[Call], first: int, period: int, rounds: int) -> bool:
    """Whether one call of the body is what its first two rounds make one expect."""
    call, second, found = (calls[first + period * n] for n in (0, 1, rounds))
    return call.is_like(found) and all(
        c.offset == a.offset + rounds * (b.offset - a.offset)
        for a, b, c in zip(call.arguments, second.arguments, found.arguments, strict=True)
    )


def _body(calls: Sequence[Call], start: int, loop: _Loop) -> Iterator[Call]:
    """The calls of the first round, told how they go on."""
    for first in range(start, start + loop.period):
        pairs = zip(calls[first].arguments, calls[first + loop.period].arguments, strict=True)
        moved = tuple(replace(a, steps=(*a.steps, b.offset - a.offset)) for a, b in pairs)
        yield replace(calls[first], arguments=moved)
