"""The one-call road: a trained model goes in, a measured family of deployable files comes out."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import inf
from pathlib import Path

import torch

from lilliput.core import (
    Budget,
    MeasureError,
    MissingExtraError,
    Model,
    Target,
    Task,
    UnsupportedError,
)
from lilliput.core.check import check_task
from lilliput.core.class_scores import is_classifier
from lilliput.core.progress import shown
from lilliput.measure import measure_test
from lilliput.measure.chips import missing_tools, processor_of
from lilliput.registry import Family, Store
from lilliput.registry.lock import alone_in
from lilliput.search import Ladder, Workshop
from lilliput.search.begin import check_installed, check_same_run, note_settings
from lilliput.search.plan import Clock
from lilliput.search.shape import Amount
from lilliput.search.space import Space
from lilliput.search.workshop import fingerprint_of, layer_rows
from lilliput.targets import get_target

__all__ = ["compress"]


def quiet(_: str) -> None:
    """Drops a line."""


def compress(  # noqa: PLR0913, PLR0917
    model: Model,
    task: Task,
    budget: Budget | None = None,
    targets: str | Target | Sequence[str | Target] = ("onnxruntime-cpu",),
    out: str | Path = "runs/compress",
    time_budget_s: int | float = 1800,
    seed: int = 0,
    teacher: Model | None = None,
    tell: Callable[[str], None] = quiet,
    max_epochs: int = 100,
    trials: int | None = None,
    strict: bool = False,
) -> Family:
    """Searches for smaller and faster variants of `model`, each exported and measured.

    Every variant is on disk the moment it is measured. Started again with the same `out`, a run
    goes on where it was; Ctrl-C ends it with all that was found.

    Args:
        model: The trained original; it is not changed.
        task: Its data, loss and metric. Choices are made on `validation`; `test` is read once.
        budget: Limits; recipes that cannot meet them are left out, with the reason.
        targets: Where the variants are to run.
        out: Folder of the run.
        time_budget_s: Time for the whole run, restarts included, in seconds.
        seed: Of training and of the search.
        teacher: What students learn from; by default the original.
        tell: Receives a line for each variant made or left out, e.g. `print`.
        max_epochs: Most epochs of one training.
        trials: Most recipes that the sampler tries after the known ones; None for no limit.
        strict: Leave out variants that a target does not run as asked for; else their notes say
            what it does instead.

    Returns:
        All variants; `family.best(budget)` chooses.

    Raises:
        TaskError: The data, loss or metric cannot be used.
        TraceError: The network cannot be traced.
        MissingExtraError: A target needs a package that is not installed.
        UnsupportedError: A limit is of something that none of the targets has.
        RegistryError: `out` cannot be read or written, holds a run of another network or task, or
            is at work in another process.
        LilliputError: The original runs on none of the targets.
    """
    budget = budget or Budget()
    names = (targets,) if isinstance(targets, str | Target) else targets
    found = [get_target(name) if isinstance(name, str) else name for name in names]
    chosen = [_with_room(target, budget) for target in found]
    for target in chosen:
        check_installed(target)
    _check_budget(budget, chosen)
    torch.manual_seed(seed)
    check_task(model, task)
    # a network that cannot be traced is told before anything is written
    layers = layer_rows(model, model)
    fingerprint = fingerprint_of(model, teacher or model, task)
    space = Space(
        model,
        task,
        teacher or model,
        is_classifier(model, task),
        seed=seed,
        is_float=all(target.rules is None for target in chosen),
        counts=_counts(budget),
    )
    with alone_in(Path(out)):
        store = Store(Path(out))
        check_same_run(store, fingerprint)
        clock = Clock(time_budget_s, float(store.notes().get("spent_s", 0.0)))
        workshop = Workshop(model, task, store, Path(out), fingerprint, seed, strict=strict)
        ladder = Ladder(workshop, chosen, budget, space, clock, tell, max_epochs, trials)
        note_settings(store, layers, task, budget)
        store.note("time_budget_s", time_budget_s)
        _climb(ladder)
        return store.family()


def _climb(ladder: Ladder) -> None:
    """Searches until it ends or Ctrl-C is pressed, then reads the test data."""
    with shown():
        try:
            ladder.climb()
        except KeyboardInterrupt:
            ladder.workshop.store.note("was_stopped", True)
            ladder.tell("stopped; every variant measured so far is kept")
        finally:
            ladder.note_time()
        _read_test(ladder)


def _with_room(target: Target, budget: Budget) -> Target:
    """A microcontroller that has no more RAM than is allowed, so that its C is made for that."""
    if not target.is_chip or budget.max_ram_bytes in {None, inf}:
        return target
    allowed = int(budget.max_ram_bytes)
    return replace(target, ram_bytes=min(allowed, target.ram_bytes or allowed))


def _counts(budget: Budget) -> Amount:
    """What the budget limits most; bytes where it limits time as well."""
    if budget.max_size_bytes is not None or budget.max_flash_bytes is not None:
        return "bytes"
    return "macs" if budget.max_latency_ms is None else "latency"


def _check_budget(budget: Budget, targets: Sequence[Target]) -> None:
    """Limits are of what every target has, so that a variant of each can keep them."""
    chips = [t.name for t in targets if t.is_chip]
    others = ", ".join(t.name for t in targets if not t.is_chip)
    without = ", ".join(t.name for t in targets if not t.has_flash)
    if budget.max_flash_bytes is not None and without:
        raise UnsupportedError(
            "max_flash_bytes limits microcontrollers and what packed files become, and "
            f"{without} has no flash; max_size_bytes limits the file"
        )
    if budget.max_instructions is not None and others:
        raise UnsupportedError(
            f"max_instructions limits microcontrollers, and {others} is none; max_latency_ms "
            "limits the time"
        )
    if budget.max_latency_ms is not None and chips:
        raise UnsupportedError(
            f"max_latency_ms limits a time, and of {', '.join(chips)} instructions are counted; "
            "max_instructions limits them"
        )
    processors = [processor_of(target) for target in targets if target.is_chip]
    missing = [name for processor in processors for name in missing_tools(processor)]
    if budget.max_instructions is not None and missing:
        raise MissingExtraError(
            f"counting instructions needs {', '.join(missing)}, which is not installed; "
            "docs/microcontrollers.md names the packages"
        )


def _read_test(ladder: Ladder) -> None:
    """Scores the original and the front on test data, once."""
    task, store = ladder.workshop.task, ladder.workshop.store
    if task.test is None:
        return
    wanted = ladder.front()
    by_name = {target.name: target for target in ladder.targets}
    for variant in store.family().variants:
        target = by_name.get(variant.target)
        reference = ladder.workshop.references.get(variant.target)
        is_wanted = variant.id in wanted or variant.name == "original"
        is_read = variant.value("test_metric") is not None
        if not is_wanted or is_read or target is None or reference is None:
            continue
        try:
            store.update(variant.id, measure_test(variant.artifact, target, task, reference))
        except MeasureError as error:
            store.skip(f"{variant.name} on test data", variant.target, str(error))
            ladder.tell(f"{variant.name} on {variant.target}: no test figure, {error}")
