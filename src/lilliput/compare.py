"""Prune, or train small? A pruned network against networks of its size that were trained anew."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from lilliput.core import Budget, LilliputError, Model, Pass, Target, Task
from lilliput.core.check import check_task
from lilliput.core.class_scores import is_classifier
from lilliput.core.progress import shown
from lilliput.prune import PruneChannels
from lilliput.recipe import write
from lilliput.registry import Store
from lilliput.registry.lock import alone_in
from lilliput.search import Workshop
from lilliput.search.begin import check_installed, check_same_run, note_settings
from lilliput.search.contest.arms import NARROWER, arms_of, check_recipe, macs_of, narrower
from lilliput.search.contest.comparison import Comparison, LeftOut
from lilliput.search.contest.contest import Contest
from lilliput.search.contest.lesson import Lesson
from lilliput.search.contest.summary import original_row, rows_of
from lilliput.search.space import Space
from lilliput.search.workshop import fingerprint_of, layer_rows
from lilliput.targets import get_target
from lilliput.train import OneCycle, Schedule, Training

__all__ = ["Comparison", "compare"]

_LONG = 15
"""Epochs of a training that takes the whole of the usual learning rate."""
_FASTER = 2.0
"""By default, how much higher the rate of networks drawn anew is: they have farther to go."""


def quiet(_: str) -> None:
    """Drops a line."""


def compare(  # noqa: PLR0913, PLR0917
    model: Model,
    task: Task,
    passes: Sequence[Pass] | None = None,
    target: str | Target = "onnxruntime-cpu",
    out: str | Path = "runs/compare",
    epochs: int = 10,
    original_epochs: int | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    with_teacher: bool = True,
    training: Training | None = None,
    fine_tune_rate: float | None = None,
    scratch_rate: float | None = None,
    scratch_schedule: Schedule | None = None,
    tell: Callable[[str], None] = quiet,
) -> Comparison:
    """Compares a pruned network with what it must beat to have been worth it.

    Four arms, each trained with every seed, exported and measured in its own runtime: the pruned
    network, fine-tuned; its architecture drawn anew, with as many epochs; the same, with as many
    multiplications as the original's training; the plain network, narrower, of the same bytes, with
    as many multiplications. Every run is on disk the moment it is measured. Started again with the
    same `out`, it goes on where it was; Ctrl-C ends it with all that was finished.

    Args:
        model: The trained original; it is not changed.
        task: Its data, loss and metric; `test` is read once, when all runs are made.
        passes: What prunes, without training; `[PruneChannels(0.5)]` by default.
        target: Where the files are to run.
        out: Folder of the run.
        epochs: Of training the pruned network.
        original_epochs: How many the original was trained for; `epochs` where it is not known.
        seeds: One run of every arm for each; at least two.
        with_teacher: Every arm imitates the original (distillation), else none does.
        training: Of every arm; its seed is replaced. By default what suits the network.
        fine_tune_rate: Learning rate of the pruned network; by default what suits the network.
        scratch_rate: Of those drawn anew; by default twice the rate of a long fine-tuning.
        scratch_schedule: How that rate changes; `OneCycle()` by default.
        tell: Receives a line for each run, e.g. `print`.

    Raises:
        ValueError: A number is out of range, or there are fewer than two seeds.
        PassError: The passes train or quantize, fail, or remove nothing.
        UnsupportedError: A layer does not say how its parameters are drawn anew.
        TaskError: The data, loss or metric cannot be used.
        TraceError: The network cannot be traced.
        MissingExtraError: The target needs a package that is not installed.
        RegistryError: `out` holds a run of another network or task, or is at work elsewhere.

    Source: Liu et al. 2019, "Rethinking the value of network pruning".
    """
    shape = (PruneChannels(0.5),) if passes is None else tuple(passes)
    place = get_target(target) if isinstance(target, str) else target
    _check_numbers(epochs, original_epochs, seeds)
    check_recipe(shape)
    check_installed(place)
    torch.manual_seed(seeds[0])
    check_task(model, task)
    lesson = _lesson(
        model, task, epochs, with_teacher, training, fine_tune_rate, scratch_rate, scratch_schedule
    )
    arms = arms_of(model, shape, epochs, original_epochs)
    layers = layer_rows(model, model)
    fingerprint = fingerprint_of(model, model, task)
    folder = Path(out)
    with alone_in(folder), shown():
        store = Store(folder)
        check_same_run(store, fingerprint)
        note_settings(store, layers, task, Budget())
        workshop = Workshop(model, task, store, folder, fingerprint)
        original = workshop.original(place)
        contest = Contest(workshop, place, arms, lesson, seeds, tell)
        was_stopped = False
        try:
            _add_narrower(contest, epochs, original_epochs)
            contest.run()
            original = contest.read_test(original) if task.test is not None else original
        except KeyboardInterrupt:
            was_stopped = True
            store.note("was_stopped", True)
            tell("stopped; every run measured so far is kept")
        return Comparison(
            task=task.name,
            metric=type(task.metric).__name__,
            higher_is_better=task.higher_is_better,
            target=place.name,
            seeds=tuple(seeds),
            is_taught=with_teacher,
            recipe=write(shape),
            original=original_row(original, macs_of(model), original_epochs),
            rows=rows_of(contest.arms, contest.done, task.higher_is_better),
            left_out=tuple(contest.left_out),
            was_stopped=was_stopped,
        )


def _add_narrower(contest: Contest, epochs: int, original_epochs: int | None) -> None:
    """The last arm, or why there is none."""
    model, scratch = contest.workshop.model, contest.arms[-1]
    try:
        arm = narrower(model, scratch, contest.target, epochs, original_epochs)
    except LilliputError as error:
        contest.left_out.append(LeftOut(NARROWER, None, str(error)))
        contest.tell(f"{NARROWER}: left out, {error}")
        return
    contest.arms = (*contest.arms, arm)


def _lesson(  # noqa: PLR0913, PLR0917
    model: Model,
    task: Task,
    epochs: int,
    with_teacher: bool,
    training: Training | None,
    fine_tune_rate: float | None,
    scratch_rate: float | None,
    scratch_schedule: Schedule | None,
) -> Lesson:
    """What was given, and for the rest what the search would take for this network."""
    space = Space(model, task, model, is_classifier(model, task))
    usual, long = space.distill(epochs), space.distill(max(_LONG, epochs))
    return Lesson(
        task,
        training or usual.training,
        usual.learning_rate if fine_tune_rate is None else fine_tune_rate,
        _FASTER * long.learning_rate if scratch_rate is None else scratch_rate,
        scratch_schedule or OneCycle(),
        model if with_teacher else None,
        usual.match,
    )


def _check_numbers(epochs: int, original_epochs: int | None, seeds: Sequence[int]) -> None:
    """Refuses what cannot be compared, before any work."""
    if epochs < 1:
        raise ValueError(f"epochs must be 1 or more, got {epochs}")
    if original_epochs is not None and original_epochs < 1:
        raise ValueError(f"original_epochs must be 1 or more, got {original_epochs}")
    if len(seeds) < 2:
        raise ValueError(
            f"seeds must be two or more, for an interval needs two runs, got {list(seeds)}; "
            "pass (0, 1, 2)"
        )
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds must all differ, got {list(seeds)}")
