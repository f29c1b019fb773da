"""Layers whose weights take fewer bits than bytes have: they are unpacked as they run."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import inf

import numpy as np

from lilliput.export.c.lower.codes import Codes, codes_of_all, codes_of_others
from lilliput.export.c.lower.step import Program, Step
from lilliput.export.c.plan import needs_of
from lilliput.export.format import Array

__all__ = ["Packing", "packed"]

_MOST_OF_PLAIN = 0.75
"""Of a layer's constants; what saves less is not worth its instructions."""
_MOST_OF_ALL = 0.75
"""Of the bytes that codes for all weights take: with gaps it has to be less."""
_CODE_BYTES = 2000
"""What unpacking takes of flash at most, on any of the processors."""
_COLUMNS = 128
"""Of a dense layer, unpacked at once."""
_FILTERS = (64, 32, 16, 8)
"""Of a convolution, unpacked at once: for each such block it gathers what places see."""


@dataclass(frozen=True)
class Packing:
    """What is packed.

    Args:
        all: Every layer for which it saves a quarter of its constants.
        most_bytes: Of constants and the code that unpacks them: while there are more, layers are
            packed, that which saves most first; None for no limit.
    """

    all: bool = False
    most_bytes: float | None = None


def packed(program: Program, packing: Packing) -> Program:
    """The program with packed weights; itself where it gains nothing.

    A convolution unpacks as many filters at once as there is room for in the smallest arena that
    any way leads to.

    Args:
        program: With plain weights.
        packing: What is wanted.
    """
    limit = -inf if packing.all else packing.most_bytes
    if limit is None or program.constant_bytes <= limit:
        return program
    found = program
    for way in _by_what_they_save(program):
        if found.constant_bytes + _CODE_BYTES <= limit:
            break
        found = _with(found, way)
    gains = found.constant_bytes + _CODE_BYTES < program.constant_bytes
    return found if gains else program


def _by_what_they_save(program: Program) -> list[Step]:
    """A call of each layer, packed, that with the largest saving first."""
    needs = needs_of(program)
    calls: dict[int | None, list[int]] = {}
    for when, step in enumerate(program.steps):
        calls.setdefault(step.layer, []).append(when)
    ways: dict[int, list[tuple[int, Step]]] = {}
    for first, *others in calls.values():
        found = []
        for way in _ways(program.steps[first]):
            changed = needs_of(_with(program, way))
            found.append((max(changed[when] for when in (first, *others)), way))
        if found:
            ways[first] = found
            least = min(need for need, _ in found)
            needs = [least if when in {first, *others} else n for when, n in enumerate(needs)]
    room = max(needs, default=0)
    chosen = {
        first: next(way for need, way in found if need <= room) for first, found in ways.items()
    }
    saved = {first: _bytes(program.steps[first]) - _bytes(way) for first, way in chosen.items()}
    return [chosen[first] for first in sorted(chosen, key=lambda first: -saved[first])]


def _with(program: Program, way: Step) -> Program:
    """All calls of a layer as one of them was packed."""
    steps = [_like(way, step) if step.layer == way.layer else step for step in program.steps]
    return replace(program, steps=tuple(steps))


def _like(way: Step, step: Step) -> Step:
    """A call with packed weights, for rows of its own."""
    own = {name: step.settings[name] for name in way.settings if name in step.settings}
    return replace(
        step,
        kernel=way.kernel,
        arrays=way.arrays,
        settings={**way.settings, **own},
        scratch=way.scratch,
        distances=step.distances if way.distances else {},
    )


def _ways(step: Step) -> list[Step]:
    """The step packed, in ways that differ in instructions and scratch: the quickest first."""
    of = {"conv_2d": _convolutions, "fully_connected": _dense}.get(step.kernel)
    found = [] if of is None else of(step)
    return [way for way in found if _bytes(way) <= _MOST_OF_PLAIN * _bytes(step)]


def _convolutions(step: Step) -> Iterator[Step]:
    """All filters at once, so that outputs may still lie where inputs were, or some."""
    filters = step.settings["window.out_channels"] // step.settings["groups"]
    weights = _bytes_of(step)
    weights[1::2] += weights[::2] < 0  # gives back what odd weights borrowed
    groups = weights.reshape(step.settings["groups"], -1)
    each = groups.shape[1] // (filters + filters % 2)
    for together in (filters, *(count for count in _FILTERS if count < filters)):
        size = each * (together + together % 2)
        parts = [g[k : k + size] for g in groups for k in range(0, len(g), size)]
        codes = _shorter(codes_of_all(parts), codes_of_others(groups.reshape(-1)))
        settings = {"together": together}
        found = _holding(step, codes, "conv_2d_packed", settings, -(-size // 16) * 16)
        yield found if together == filters else replace(found, distances={})


def _dense(step: Step) -> Iterator[Step]:
    """Some columns at a time of four filters; all, where several rows are multiplied by them."""
    length, filters = step.settings["in_channels"], step.settings["out_channels"]
    is_alone = step.settings["rows"] == 1
    together = min(length, _COLUMNS) if is_alone else length
    size = 4 * 4 * -(-together // 4)
    blocks = _bytes_of(step).reshape(-1, 16 * -(-length // 4))
    parts = [block[k : k + size] for block in blocks for k in range(0, len(block), size)]
    rows = blocks.reshape(len(blocks), -1, 4, 4).swapaxes(1, 2).reshape(4 * len(blocks), -1)
    others = codes_of_others(
        rows[:filters, :length].reshape(-1) if is_alone else blocks.reshape(-1)
    )
    codes = _shorter(codes_of_all(parts), others)
    if is_alone and codes is others:
        yield _holding(step, codes, "fully_connected_sparse", {}, None)
    else:
        yield _holding(step, codes, "fully_connected_packed", {"together": together}, size)


def _shorter(of_all: Codes | None, of_others: Codes) -> Codes:
    """Gaps take more instructions, and have to save more."""
    is_less = of_all is None or of_others.size <= _MOST_OF_ALL * of_all.size
    return of_others if is_less or of_all is None else of_all


def _holding(
    step: Step, codes: Codes, kernel: str, settings: dict[str, int], size: int | None
) -> Step:
    """The step with weights in few bits, and so many bytes more of scratch."""
    arrays = {name: array for name, array in step.arrays.items() if name != "weights"}
    arrays = {**{f"weights.{name}": array for name, array in codes.arrays.items()}, **arrays}
    numbers = {f"weights.{name}": value for name, value in codes.settings.items()}
    scratch = None if size is None else size + (step.scratch or 0)
    settings = {**numbers, **step.settings, **settings}
    return replace(step, kernel=kernel, arrays=arrays, settings=settings, scratch=scratch)


def _bytes(step: Step) -> int:
    return sum(array.nbytes for array in step.arrays.values())


def _bytes_of(step: Step) -> Array:
    """Weights in the order in which the kernel reads them."""
    return step.arrays["weights"].astype("<u4").view(np.int8).copy()
