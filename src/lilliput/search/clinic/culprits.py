"""Which places of a quantized network cost it accuracy, found by switching them one at a time.

All of it is simulated in PyTorch on some validation examples: it says where to look, never what a
file scores.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Literal

import torch
from torch import Tensor, fx

from lilliput.core import Measurement, Model, PassError, Task, UnsupportedError
from lilliput.core.class_scores import are_class_scores
from lilliput.core.progress import track
from lilliput.core.spelling import did_you_mean
from lilliput.measure.accuracy import Scores, Tally, difference
from lilliput.measure.examples import take
from lilliput.quantize.beside.branches import Branches
from lilliput.quantize.beside.distance import Distance, Divergence, SquaredError
from lilliput.quantize.placing.sites import Site, sites

__all__ = ["Effect", "Found", "Kind", "Suspect", "choose", "suspects"]

Kind = Literal["alone", "weights", "reads", "restored"]
KINDS: tuple[Kind, ...] = ("alone", "weights", "reads", "restored")

_PIECE = 32
_ROOM_BYTES = 1 << 29
_FLOAT, _QUANTIZED = "float", "quantized"


@dataclass(frozen=True)
class Effect:
    """What quantizers do to the outputs.

    Args:
        drop: How much worse the metric is with them than without, with a paired 95 % interval.
        divergence: How much farther from the float outputs they are: the mean KL divergence of a
            classifier, the relative squared error of other networks.
    """

    drop: Measurement
    divergence: float


@dataclass(frozen=True)
class Suspect:
    """A place where a network is quantized, and what it costs.

    Args:
        site: The place.
        effects: With nothing else quantized: of its weights and what it reads (`alone`), and of
            each (`weights`, `reads`); with all else quantized: what is recovered when it alone is
            left float (`restored`).
    """

    site: Site
    effects: dict[Kind, Effect]

    @property
    def rank(self) -> float:
        """The larger, the worse."""
        found = self.effects.get("alone", self.effects.get("restored"))
        return found.divergence if found and not math.isnan(found.divergence) else math.inf


@dataclass(frozen=True)
class Found:
    """All suspects, worst first.

    Args:
        suspects: Worst first.
        whole: Of the whole network quantized.
        divergence: What the divergence is.
        samples: How many examples stand behind it.
    """

    suspects: tuple[Suspect, ...]
    whole: Effect
    divergence: str
    samples: int


def suspects(
    model: Model,
    task: Task,
    samples: int = 128,
    only: Sequence[str] = ("*",),
    kinds: Sequence[Kind] = KINDS,
) -> Found:
    """Switches each place alone on, and alone off.

    Args:
        model: With quantizers that act; it is not changed.
        task: Its validation data are looked at.
        samples: How many examples.
        only: Names of places, in which `*` stands for anything.
        kinds: Which effects to find.

    Raises:
        UnsupportedError: No place has such a name; gives the nearest.
        PassError: The network has no quantizers that act.
    """
    module = model.clone().module
    assert isinstance(module, fx.GraphModule)  # noqa: S101
    chosen = choose(sites(module), only)
    trials = [trial for site in chosen for trial in _trials(site) if trial.kind in kinds]
    pieces = list(_pieces(task, samples))
    count = len(trials) + 2
    keys: list[_Trial | str] = [*trials, _FLOAT, _QUANTIZED]
    runs = {key: _Run(Tally(task, _ROOM_BYTES // count)) for key in keys}
    distance: Distance = Divergence() if _is_classifier(module, pieces[0]) else SquaredError()
    answers = _answers(Branches(module), trials, pieces)
    for key, outputs, plain, (inputs, labels) in track(answers, "culprits", count * len(pieces)):
        run = runs[key]
        run.tally.add(outputs, labels, len(inputs[0]))
        run.distances.append(distance(outputs, plain))
    word = "KL" if isinstance(distance, Divergence) else distance.quantity
    return _found(chosen, trials, runs, word, task)


@dataclass(frozen=True)
class _Trial:
    """One run: of which place, what for, which quantizers are switched, what all others do."""

    site: Site
    kind: Kind
    flips: frozenset[str]

    @property
    def is_quantized(self) -> bool:
        return self.kind == "restored"


@dataclass(eq=False)
class _Run:
    """What came of it so far."""

    tally: Tally
    distances: list[Tensor] = field(default_factory=list)

    @property
    def divergence(self) -> float:
        return float(torch.cat(self.distances).mean())


def choose(every: Sequence[Site], only: Sequence[str]) -> list[Site]:
    """The places whose names fit.

    Raises:
        UnsupportedError: No place has such a name; gives the nearest.
        PassError: There is no place at all.
    """
    if not every:
        raise PassError("the network has no quantizers that act; QuantizeStatic comes before")
    names = [site.name for site in every]
    for pattern in only:
        if not any(fnmatchcase(name, pattern) for name in names):
            hint = did_you_mean(pattern, names)
            raise UnsupportedError(f"no quantized layer is called {pattern!r}; {hint}")
    return [s for s in every if any(fnmatchcase(s.name, pattern) for pattern in only)]


def _trials(site: Site) -> Iterator[_Trial]:
    both = site.weights | site.reads
    yield _Trial(site, "alone", both)
    if site.weights and site.reads:
        yield _Trial(site, "weights", site.weights)
        yield _Trial(site, "reads", site.reads)
    yield _Trial(site, "restored", both)


def _pieces(task: Task, samples: int) -> Iterator[tuple[tuple[Tensor, ...], Any]]:
    """The first validation examples, in small batches where labels can be taken apart."""
    left = samples
    for inputs, labels in task.first("validation", samples):
        count = len(inputs[0])
        parts = torch.arange(min(left, count)).split(_PIECE)
        left -= count
        try:
            taken = [(tuple(x[p] for x in inputs), take(labels, p, count)) for p in parts]
        except ValueError:  # labels without an item for each example come whole
            taken = [(inputs, labels)]
        yield from taken


def _is_classifier(module: fx.GraphModule, piece: tuple[tuple[Tensor, ...], Any]) -> bool:
    """Whether outputs are `[batch, classes]` scores for class indices."""
    inputs, labels = piece
    with torch.no_grad():
        outputs = module(*inputs)
    return are_class_scores(outputs, labels)


def _answers(
    branches: Branches,
    trials: Sequence[_Trial],
    pieces: Sequence[tuple[tuple[Tensor, ...], Any]],
) -> Iterator[tuple[_Trial | str, Any, Any, tuple[tuple[Tensor, ...], Any]]]:
    """Of each run and piece: which run, its outputs, the float network's, and the piece."""
    for piece in pieces:
        inputs, _ = piece
        _, plain = next(branches.outputs(inputs, (), is_quantized=False))
        for is_quantized in (False, True):
            own = [trial for trial in trials if trial.is_quantized == is_quantized]
            flips = [trial.flips for trial in own]
            usual = _QUANTIZED if is_quantized else _FLOAT
            for index, outputs in branches.outputs(inputs, flips, is_quantized):
                yield own[index] if index >= 0 else usual, outputs, plain, piece


def _found(
    chosen: Sequence[Site],
    trials: Sequence[_Trial],
    runs: dict[_Trial | str, _Run],
    divergence: str,
    task: Task,
) -> Found:
    scores = {key: run.tally.scores("validation") for key, run in runs.items()}
    higher = task.higher_is_better
    unit = type(task.metric).__name__
    whole = runs[_QUANTIZED].divergence
    effects: dict[Site, dict[Kind, Effect]] = {site: {} for site in chosen}
    for trial in trials:
        own = runs[trial].divergence
        if trial.is_quantized:
            drop = _drop(scores[_QUANTIZED], scores[trial], higher, unit)
            effects[trial.site][trial.kind] = Effect(drop, whole - own)
        else:
            drop = _drop(scores[trial], scores[_FLOAT], higher, unit)
            effects[trial.site][trial.kind] = Effect(drop, own)
    found = sorted((Suspect(*pair) for pair in effects.items()), key=lambda s: -s.rank)
    drop = _drop(scores[_QUANTIZED], scores[_FLOAT], higher, unit)
    return Found(tuple(found), Effect(drop, whole), divergence, scores[_FLOAT].samples)


def _drop(scores: Scores, reference: Scores, higher_is_better: bool, unit: str) -> Measurement:
    value, ends = difference(scores, reference, higher_is_better)
    low, high = (ends.low, ends.high) if ends else (None, None)
    return Measurement("drop", value, unit, "simulated", "PyTorch", scores.samples, low, high)
