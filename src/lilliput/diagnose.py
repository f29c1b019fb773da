"""Names what makes quantization cost accuracy, tries the remedies, tells what each bought."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import fx

from lilliput.core import Budget, Model, Target, Task, UnsupportedError, run
from lilliput.core.check import check_task
from lilliput.core.class_scores import is_classifier
from lilliput.core.progress import shown
from lilliput.quantize import QuantizeStatic
from lilliput.quantize.placing.sites import sites
from lilliput.registry import Store
from lilliput.registry.lock import alone_in
from lilliput.search import Workshop
from lilliput.search.begin import check_installed, check_same_run, note_settings
from lilliput.search.clinic.clinic import Clinic
from lilliput.search.clinic.culprits import choose
from lilliput.search.clinic.diagnosis import Diagnosis
from lilliput.search.clinic.treatment import Treatment
from lilliput.search.space import Space
from lilliput.search.workshop import fingerprint_of, layer_rows
from lilliput.targets import get_target

__all__ = ["Diagnosis", "diagnose"]


def quiet(_: str) -> None:
    """Drops a line."""


def diagnose(  # noqa: PLR0913, PLR0917
    model: Model,
    task: Task,
    target: str | Target,
    budget: Budget,
    out: str | Path = "runs/diagnose",
    bits: int = 8,
    samples: int = 128,
    epochs: int = 0,
    only: Sequence[str] = ("*",),
    seed: int = 0,
    tell: Callable[[str], None] = quiet,
) -> Diagnosis:
    """Quantizes `model`, finds which layers cost accuracy, and tries what helps, in order.

    Where it loses accuracy is simulated in PyTorch on some validation data: each layer quantized
    alone, its weights and what it reads; each left float alone; the signal-to-noise ratio along the
    network; the ranges. What each remedy bought is measured: every variant is exported and scored
    in its own runtime, and kept in the run. It ends where the drop is within the budget.

    Args:
        model: The trained original; it is not changed.
        task: Its data, loss and metric; of `test` nothing is read.
        target: Where it is to run.
        budget: `max_drop` says when all is well.
        out: Folder of the run; one that `compress` or `diagnose` made of the same network and task
            goes on.
        bits: Of weights in the file.
        samples: Validation examples that the simulation looks at.
        epochs: Of training, the last remedy; 0 for none.
        only: Names of layers to look at, in which `*` stands for anything.
        seed: Of training.
        tell: Receives a line for each finding and variant, e.g. `print`.

    Raises:
        ValueError: The budget has no `max_drop`, or a number is out of range.
        UnsupportedError: The target runs floats only, or holds no weights of so many bits; the
            network has nothing to quantize; no layer has a name in `only`.
        TaskError: The data, loss or metric cannot be used.
        TraceError: The network cannot be traced.
        MissingExtraError: The target needs a package that is not installed.
        RegistryError: `out` holds a run of another network or task, or is at work elsewhere.
    """
    place = get_target(target) if isinstance(target, str) else target
    _check(place, budget, bits, samples, epochs)
    torch.manual_seed(seed)
    check_task(model, task)
    _check_network(model, task, place, only)
    layers = layer_rows(model, model)
    fingerprint = fingerprint_of(model, model, task)
    folder = Path(out)
    assert budget.max_drop is not None  # noqa: S101
    with alone_in(folder), shown():
        store = Store(folder)
        check_same_run(store, fingerprint)
        note_settings(store, layers, task, budget)
        workshop = Workshop(model, task, store, folder, fingerprint, seed)
        workshop.original(place)
        space = Space(model, task, model, is_classifier(model, task), seed=seed)
        clinic = Clinic(
            workshop,
            place,
            float(budget.max_drop),
            tell,
            samples,
            space.distill(epochs, is_quantized=True) if epochs else None,
            tuple(only),
        )
        return clinic.diagnose(Treatment(task, bits))


def _check(target: Target, budget: Budget, bits: int, samples: int, epochs: int) -> None:
    """Refuses what cannot be diagnosed, before any work."""
    if budget.max_drop is None:
        raise ValueError(
            "a diagnosis needs to know how much worse the metric may get, and the budget has no "
            "max_drop; pass Budget(max_drop=0.01) for one point of an accuracy"
        )
    if samples < 1:
        raise ValueError(f"samples must be 1 or more, got {samples}")
    if epochs < 0:
        raise ValueError(f"epochs must be 0 or more, got {epochs}")
    check_installed(target)
    if target.rules is None:
        raise UnsupportedError(f"{target.name!r} runs floats only: there is nothing to diagnose")
    if bits not in target.rules.stored_bits:
        raise UnsupportedError(
            f"files for {target.name!r} hold weights of {sorted(target.rules.stored_bits)} bits, "
            f"got bits={bits}"
        )


def _check_network(model: Model, task: Task, target: Target, only: Sequence[str]) -> None:
    """Refuses a network with nothing to quantize, and names that fit nothing, before any work."""
    assert target.rules is not None  # noqa: S101
    few = run(model, [QuantizeStatic(target.rules, task, samples=1)]).module
    assert isinstance(few, fx.GraphModule)  # noqa: S101
    choose(sites(few), only)
