"""Everything about one file, measured in the runtime that will run it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lilliput.core import Artifact, MeasureError, Measurement, Split, Target, Task
from lilliput.core.artifact import sha256_of
from lilliput.measure.accuracy import Scores, difference, evaluate, interval_of
from lilliput.measure.cache import read_scores, score_name, write_scores
from lilliput.measure.chips import chip_costs
from lilliput.measure.device import device_name
from lilliput.measure.frames import Array
from lilliput.measure.harness import Opened, Worker
from lilliput.measure.intervals import Interval
from lilliput.measure.latency import latency, ratio
from lilliput.measure.size import size, unpacked
from lilliput.targets.host import check_host

__all__ = ["Reference", "latency_ratios", "measure", "measure_test", "score"]

_EXAMPLES = 8


@dataclass(frozen=True, eq=False)
class Reference:
    """What a variant is compared with. It remembers its scores: use one object for many variants.

    Args:
        artifact: The original, exported in the same format.
        eager: The original as `torch.export.save` wrote it, for PyTorch eager; None to leave out.
            Its graph runs the same operators as the network's own `forward`, with a few
            microseconds more for each (7 % of a ResNet-56 with one 32x32 image).
        cache: Folder for scores, so that a later process need not score again; None for none.
    """

    artifact: Artifact
    eager: Path | None = None
    cache: Path | None = None
    _scores: dict[str, Scores] = field(default_factory=dict, repr=False)

    def scores(self, target: Target, task: Task, split: Split, time_limit_s: float) -> Scores:
        """The original's scores, counted once."""
        name = score_name(self.artifact, target, task, split)
        if name not in self._scores:
            found = score(self.artifact, target, task, split, self.cache, time_limit_s)
            self._scores[name] = found
        return self._scores[name]

    def remember(self, scores: Scores, target: Target, task: Task, split: Split) -> None:
        """Takes scores of the same file that were counted elsewhere."""
        self._scores[score_name(self.artifact, target, task, split)] = scores


def measure(  # noqa: PLR0913, PLR0917
    artifact: Artifact,
    target: Target,
    task: Task,
    reference: Reference | None = None,
    split: Split = "validation",
    time_limit_s: float = 600.0,
) -> tuple[Measurement, ...]:
    """Measures a file in its own runtime, in a process of its own.

    Args:
        artifact: The file.
        target: Its format and threads.
        task: Data and metric.
        reference: The original; with it come the drop and the latency ratios.
        split: Which data the metric is of.
        time_limit_s: How long the runtime may take for all of it, in seconds.

    Returns:
        `metric` and `drop` (`test_metric` and `test_drop` on test data), `size`, `latency`,
        `latency_ratio`, `latency_ratio_eager` and `peak_ram`; of a packed file `flash`, the bytes
        that it becomes; for a microcontroller `flash` and `instructions` instead of times, and its
        own `peak_ram`.

    Raises:
        MeasureError: The file changed or is damaged; its runtime crashed, took too long, or gave
            NaN.
        TaskError: The data or the metric cannot be used.
        MissingExtraError: The runtime is not installed.
        UnsupportedError: The runtime is there for another system.
    """
    check_host(target)
    _check_digest(artifact)
    device = device_name(target)
    examples = _examples(task, split)
    with Worker(artifact, target, time_limit_s) as worker:
        opened = worker.open(examples[0])
        scores = _score(worker, opened, task, split)
        # the time that a chip takes is not this machine's
        times = () if target.is_chip else _times(worker, reference, examples, device)
    ram = float(opened.peak_ram_bytes)
    of_host = Measurement("peak_ram", ram, "B", "measured", device, opened.runs)
    return (
        *_metrics(artifact, scores, target, task, split, reference, time_limit_s),
        size(artifact, device),
        *unpacked(artifact, device),
        *times,
        *(chip_costs(artifact, target) if target.is_chip else (of_host,)),
    )


def measure_test(
    artifact: Artifact,
    target: Target,
    task: Task,
    reference: Reference | None = None,
    time_limit_s: float = 600.0,
) -> tuple[Measurement, ...]:
    """Only `test_metric` and, with a reference, `test_drop`: for the one look at test data.

    Raises:
        MeasureError: As `measure`.
        TaskError: There is no test data, or it or the metric cannot be used.
    """
    cache = reference.cache if reference else None
    scores = score(artifact, target, task, "test", cache, time_limit_s)
    return _metrics(artifact, scores, target, task, "test", reference, time_limit_s)


def latency_ratios(
    artifacts: Sequence[Artifact], reference: Artifact, target: Target, task: Task
) -> tuple[Measurement, ...]:
    """Times files of one format in turns; gives each one's latency over the reference's.

    Args:
        artifacts: The files.
        reference: What they are compared with, in the same rounds.
        target: Its format and threads.
        task: Its first validation examples are what is run.

    Raises:
        MeasureError: As `measure`.
        UnsupportedError: The runtime is there for another system.
    """
    check_host(target)
    examples = _examples(task, "validation")
    with Worker(reference, target) as worker:
        worker.open(examples[0])
        times = worker.time([reference.path, *(a.path for a in artifacts)], None, examples)
    device = device_name(target)
    return tuple(ratio("latency_ratio", own, times[0], device) for own in times[1:])


def score(  # noqa: PLR0913, PLR0917
    artifact: Artifact,
    target: Target,
    task: Task,
    split: Split = "validation",
    cache: Path | None = None,
    time_limit_s: float = 600.0,
) -> Scores:
    """Scores a file with the task's metric over a whole split.

    Args:
        artifact: The file.
        target: Its format and threads.
        task: Data and metric.
        split: Which data.
        cache: Folder where scores are kept by file, data, metric and runtime; None for none.
        time_limit_s: How long the runtime may take, in seconds.

    Raises:
        MeasureError: As `measure`.
        TaskError: The data or the metric cannot be used.
        UnsupportedError: The runtime is there for another system.
    """
    check_host(target)
    _check_digest(artifact)
    name = score_name(artifact, target, task, split)
    found = read_scores(cache, name) if cache else None
    if found is None:
        with Worker(artifact, target, time_limit_s) as worker:
            opened = worker.open(_examples(task, split)[0])
            found = _score(worker, opened, task, split)
        if cache:
            write_scores(cache, name, found)
    return found


def _score(worker: Worker, opened: Opened, task: Task, split: Split) -> Scores:
    file = worker.artifact.path

    def predict(arrays: tuple[Array, ...]) -> Any:
        outputs = worker.run(arrays)
        for name, output in zip(opened.outputs, outputs, strict=True):
            if output.shape[:1] != (len(arrays[0]),):
                raise MeasureError(
                    f"output {name!r} of {file} has shape {list(output.shape)} for "
                    f"{len(arrays[0])} examples"
                )
            if np.issubdtype(output.dtype, np.floating) and np.isnan(output).any():
                wrong = int(np.isnan(output.reshape(len(output), -1)).any(1).sum())
                raise MeasureError(
                    f"output {name!r} of {file} holds NaN for {wrong} of {len(output)} examples of "
                    f"a {split} batch"
                )
        tensors = tuple(torch.from_numpy(output) for output in outputs)
        return tensors[0] if len(tensors) == 1 else tensors

    return evaluate(task, split, predict, file.name)


def _metrics(  # noqa: PLR0913, PLR0917
    artifact: Artifact,
    scores: Scores,
    target: Target,
    task: Task,
    split: Split,
    reference: Reference | None,
    time_limit_s: float,
) -> tuple[Measurement, ...]:
    """The metric and the drop, each with its interval."""

    def made(quantity: str, value: float, ends: Interval | None) -> Measurement:
        name = f"test_{quantity}" if split == "test" else quantity
        low, high = (ends.low, ends.high) if ends else (None, None)
        unit, device = type(task.metric).__name__, device_name(target)
        return Measurement(name, value, unit, "measured", device, scores.samples, low, high)

    metric = made("metric", scores.value, interval_of(scores))
    if reference is None:
        return (metric,)
    if reference.artifact.sha256 == artifact.sha256:  # no drop from itself, beyond doubt
        reference.remember(scores, target, task, split)
        return metric, made("drop", 0.0, Interval(0.0, 0.0))
    theirs = reference.scores(target, task, split, time_limit_s)
    return metric, made("drop", *difference(scores, theirs, task.higher_is_better))


def _times(
    worker: Worker,
    reference: Reference | None,
    examples: Sequence[tuple[Array, ...]],
    device: str,
) -> tuple[Measurement, ...]:
    """Latency, and its ratios to the original in the same runtime and in PyTorch eager."""
    paths, eager = [worker.artifact.path], reference.eager if reference else None
    if reference is not None:
        paths.append(reference.artifact.path)
    times = worker.time(paths, eager, examples)
    found = [latency(times[0], device)]
    if reference is not None:
        found.append(ratio("latency_ratio", times[0], times[1], device))
    if eager is not None:
        found.append(ratio("latency_ratio_eager", times[0], times[-1], device))
    return tuple(found)


def _examples(task: Task, split: Split) -> list[tuple[Array, ...]]:
    """The first examples of a split, each a batch of one."""
    inputs, _ = next(iter(task.batches(split)))
    arrays = [x.detach().cpu().numpy() for x in inputs]
    count = min(_EXAMPLES, len(arrays[0]))
    return [tuple(array[i : i + 1] for array in arrays) for i in range(count)]


def _check_digest(artifact: Artifact) -> None:
    if not artifact.path.is_file():
        raise MeasureError(f"{artifact.path} is not there")
    if sha256_of(artifact.path) != artifact.sha256:
        raise MeasureError(
            f"{artifact.path} is damaged: its SHA-256 is not what it was when it was made; "
            "export it again"
        )
