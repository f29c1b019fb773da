"""Layers whose weights take fewer bits than bytes have: they are unpacked as they run."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from lilliput.export.c.lower.codes import shortest
from lilliput.export.c.lower.step import Program, Step
from lilliput.export.c.plan import needs_of
from lilliput.export.format import Array

__all__ = ["packed"]

_MOST_OF_PLAIN = 0.75
"""Of a layer's constants; what saves less is not worth its instructions."""
_CODE_BYTES = 1200
"""What unpacking takes at most of a Cortex-M4's flash."""
_COLUMNS = 128
"""Of a dense layer, unpacked at once."""
_FILTERS = (64, 32, 16, 8)
"""Of a convolution, unpacked at once: for each such block it gathers what places see."""


def packed(program: Program, most_bytes: float = 0) -> Program:
    """The program with packed weights, those first that save most; itself where it gains nothing.

    A convolution unpacks as many filters at once as there is room for in the smallest arena that
    any way leads to.

    Args:
        program: With plain weights.
        most_bytes: For constants and for the code that unpacks them: with so few, no more is packed.
    """
    found = program
    for when, step in _by_what_they_save(program):
        if found.constant_bytes + _CODE_BYTES <= most_bytes:
            break
        found = _with(found, when, step)
    gains = found.constant_bytes + _CODE_BYTES < program.constant_bytes
    return found if gains else program


def _by_what_they_save(program: Program) -> list[tuple[int, Step]]:
    """Steps by their place, packed, that with the largest saving first."""
    needs = needs_of(program)
    ways: dict[int, list[tuple[int, Step]]] = {}
    for when, step in enumerate(program.steps):
        found = [(needs_of(_with(program, when, way))[when], way) for way in _ways(step)]
        if found:
            ways[when] = found
            needs[when] = min(need for need, _ in found)
    room = max(needs, default=0)
    chosen = {
        when: next(way for need, way in found if need <= room) for when, found in ways.items()
    }
    saved = {when: _bytes(program.steps[when]) - _bytes(way) for when, way in chosen.items()}
    return [(when, chosen[when]) for when in sorted(chosen, key=lambda when: -saved[when])]


def _with(program: Program, when: int, step: Step) -> Program:
    return replace(program, steps=(*program.steps[:when], step, *program.steps[when + 1 :]))


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
        found = _unpacking(step, parts, together, -(-size // 16) * 16)
        yield found if together == filters else replace(found, distances={})


def _dense(step: Step) -> Iterator[Step]:
    """Some columns at a time of four filters; all, where each row multiplies them."""
    length = step.settings["in_channels"]
    together = min(length, _COLUMNS) if step.settings["rows"] == 1 else length
    size = 4 * 4 * -(-together // 4)
    rows = _bytes_of(step).reshape(-1, 16 * -(-length // 4))
    parts = [row[k : k + size] for row in rows for k in range(0, len(row), size)]
    yield _unpacking(step, parts, together, size)


def _unpacking(step: Step, parts: Sequence[Array], together: int, size: int) -> Step:
    """The step with weights in few bits, and so many bytes more of scratch."""
    codes = shortest(parts)
    arrays = {name: array for name, array in step.arrays.items() if name != "weights"}
    arrays = {**{f"weights.{name}": array for name, array in codes.arrays.items()}, **arrays}
    settings = {f"weights.{name}": value for name, value in codes.settings.items()}
    return replace(
        step,
        kernel=f"{step.kernel}_packed",
        arrays=arrays,
        settings={**settings, **step.settings, "together": together},
        scratch=size + (step.scratch or 0),
    )


def _bytes(step: Step) -> int:
    return sum(array.nbytes for array in step.arrays.values())


def _bytes_of(step: Step) -> Array:
    """Weights in the order in which the kernel reads them."""
    return step.arrays["weights"].astype("<u4").view(np.int8).copy()
