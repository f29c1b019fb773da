"""What is tried when quantization costs too much, in order: as data."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from lilliput.core import Pass, Task
from lilliput.quantize import (
    CorrectBias,
    EqualizeLayers,
    LearnRanges,
    LearnRounding,
    MigrateScales,
    ReconstructBlocks,
    RoundSecondOrder,
)
from lilliput.search.clinic.treatment import Treatment
from lilliput.search.space import OBSERVERS
from lilliput.train import Distill

__all__ = ["REMEDIES", "Case", "Remedy"]

_WORST = (1, 2, 4, 8)
"""How many layers may keep more bits."""


@dataclass(frozen=True, eq=False)
class Case:
    """What remedies ask of the network.

    Args:
        worst: Gives its layers, the costliest first, as quantized so far.
        training: What trains with the quantizers in; None where nothing may be trained.
    """

    worst: Callable[[Treatment], Sequence[str]]
    training: Distill | None = None


@dataclass(frozen=True)
class Remedy:
    """One remedy.

    Args:
        name: In tables.
        options: From the treatment so far to those to try in its place, one after another.
    """

    name: str
    options: Callable[[Treatment, Case], Iterator[Treatment]]


def before(word: str, make: Callable[[Task], Pass]) -> Callable[..., Iterator[Treatment]]:
    """Options of a pass that comes before the quantizers."""

    def options(now: Treatment, _: Case) -> Iterator[Treatment]:
        if word not in now.words:
            yield replace(now, before=(*now.before, make(now.task))).called(word)

    return options


def correcting(word: str, make: Callable[[Task], Pass]) -> Callable[..., Iterator[Treatment]]:
    """Options of a pass that corrects a quantized network."""

    def options(now: Treatment, _: Case) -> Iterator[Treatment]:
        if word not in now.words:
            yield replace(now, correction=(*now.correction, make(now.task))).called(word)

    return options


def rounding(word: str, make: Callable[[Task], Pass]) -> Callable[..., Iterator[Treatment]]:
    """Options of a pass that rounds weights: after one that did, and in its place."""

    def options(now: Treatment, _: Case) -> Iterator[Treatment]:
        made = make(now.task)
        if made in now.rounding:
            return
        if now.rounding:
            yield replace(now, rounding=(*now.rounding, made)).called(word)
        kept = tuple(w for w in now.words if not w.endswith("rounded"))
        yield replace(now, rounding=(made,), words=kept).called(word)

    return options


def ranging(now: Treatment, _: Case) -> Iterator[Treatment]:
    """Other observers."""
    for observer in OBSERVERS:
        if observer != now.observer:
            yield replace(now, observer=observer)


def keeping(now: Treatment, case: Case) -> Iterator[Treatment]:
    """The worst layers at eight bits, where they have fewer; then, of eight bits, float."""
    worst = tuple(case.worst(now))
    counts = [count for count in _WORST if count <= len(worst) / 2]
    if now.bits < 8:
        for count in counts:
            raised = dict.fromkeys(worst[:count], 8)
            yield replace(now, raised=raised).called(f"eight{count}")
    else:
        for count in counts:
            yield replace(now, floats=worst[:count]).called(f"float{count}")


def training(now: Treatment, case: Case) -> Iterator[Treatment]:
    """Training with the quantizers in, from the float weights."""
    if case.training is not None:
        words = tuple(w for w in now.words if not w.endswith(("rounded", "corrected", "ranged")))
        made = replace(now, training=(case.training,), words=words)
        yield made.called(f"qat{case.training.epochs}")


REMEDIES: tuple[Remedy, ...] = (
    Remedy("equalize layers", before("equalized", lambda _: EqualizeLayers())),
    Remedy("migrate scales", before("migrated", MigrateScales)),
    Remedy("correct biases", correcting("corrected", CorrectBias)),
    Remedy("better rounding", rounding("rounded", RoundSecondOrder)),
    Remedy("rounding learned by layers", rounding("layers-rounded", LearnRounding)),
    Remedy("rounding learned by blocks", rounding("blocks-rounded", ReconstructBlocks)),
    Remedy("better ranges", ranging),
    Remedy("ranges learned from outputs", correcting("ranged", LearnRanges)),
    Remedy("keep the worst higher", keeping),
    Remedy("train", training),
)
