"""Where candidates become variants: run the recipe, export, check, measure, store."""

import dataclasses
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lilliput.core import (
    Artifact,
    LilliputError,
    Measurement,
    Model,
    Pass,
    Target,
    Task,
    run as run_passes,
)
from lilliput.core.artifact import sha256_of
from lilliput.core.digest import digest_of
from lilliput.core.disk import replacing
from lilliput.core.passes import settings
from lilliput.export import Parity, export, parity
from lilliput.graph import cost, trace
from lilliput.measure import Reference, measure
from lilliput.measure.layer_times import layer_times
from lilliput.recipe import recipe_hash, write
from lilliput.registry import Store, Variant, work_key
from lilliput.search.candidate import Candidate
from lilliput.train import Distill, FineTune

__all__ = ["Workshop", "fingerprint_of", "layer_rows"]

_SCRATCH = "scratch-"
"""Of the name of a folder that is gone once its variant is in the store."""
_SHORT_S = 60.0
"""No training is cut off before: on so little, an estimate is mostly noise."""


def fingerprint_of(model: Model, teacher: Model, task: Task) -> str:
    """A digest of all that a run's variants depend on besides their recipes and targets."""
    loss = getattr(task.loss, "__qualname__", type(task.loss).__qualname__)
    return digest_of((*_parts(model), *_parts(teacher), task.identity(), loss))


def _parts(model: Model) -> Iterator[str | Tensor]:
    """The network's class and weights."""
    yield type(model.module).__qualname__
    for name, value in sorted(model.module.state_dict().items()):
        yield from (name, value)


def layer_rows(model: Model, runnable: Model) -> list[dict[str, Any]]:
    """What each layer costs, as rows of a table.

    Args:
        model: Whose bytes and MACs are counted.
        runnable: The same network before quantization, whose layers are timed in PyTorch.
    """
    times = layer_times(runnable)
    rows = [dataclasses.asdict(row) for row in cost(trace(model)) if "quantize" not in row.operator]
    return [{**row, "ms": times.get(row["name"])} for row in rows]


@dataclass(eq=False)
class Workshop:
    """Makes each candidate once; what the store has already is not made again.

    Only one works in a folder at a time (`registry.lock.alone_in`).

    Args:
        model: The original.
        task: Its data and metric.
        store: Where variants go the moment they are measured.
        folder: Where training checkpoints go.
        fingerprint: `fingerprint_of` the model, its teacher and task.
        seed: Recorded with every variant.
        epoch_limit_s: What an epoch of training may take at most, in seconds; None for no limit.
            Beyond it training ends early, so that a machine that turns slow keeps the time budget.
        strict: Leave out what a target does not run as asked for.
    """

    model: Model
    task: Task
    store: Store
    folder: Path
    fingerprint: str
    seed: int = 0
    epoch_limit_s: float | None = None
    strict: bool = False
    references: dict[str, Reference] = field(default_factory=dict)
    _shared: dict[str, Model] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for left in self.folder.glob(f"{_SCRATCH}*"):  # by a run that was killed
            shutil.rmtree(left)

    def key(self, candidate: Candidate, target: Target) -> str:
        """Identifies the work: recipe, original, teacher, data, seed, target, rules and room."""
        passes = (*candidate.shared, *candidate.finish(target))
        rules = json.dumps(settings(target.rules), sort_keys=True)
        room = f" {target.ram_bytes}" if target.is_chip and target.ram_bytes is not None else ""
        where = f"{target.name} {target.format} {rules}{room}"
        return work_key(recipe_hash(passes), self.fingerprint, self.seed, where)

    def has(self, candidate: Candidate, targets: Sequence[Target]) -> bool:
        """Whether every target's variant is in the store."""
        return all(self.store.find(self.key(candidate, target)) for target in targets)

    def original(self, target: Target) -> Variant:
        """Exports and measures the original for `target`; later variants are compared with it."""
        candidate = Candidate("original")
        found = self.store.find(self.key(candidate, target))
        if found is None:
            found = self._make(candidate, target)
        scores = self.folder / "scores"
        self.references[target.name] = Reference(found.artifact, self._eager_file(), scores)
        return found

    def make(self, candidate: Candidate, target: Target) -> Variant | None:
        """Gives the candidate's variant for `target`; None where it failed, the reason stored."""
        found = self.store.find(self.key(candidate, target))
        if found is not None:
            return found
        try:
            return self._make(candidate, target)
        except LilliputError as error:
            self.store.skip(candidate.name, target.name, str(error))
            return None

    def shared_model(self, passes: Sequence[Pass]) -> Model:
        """The model after the passes that all targets share; the latest is kept in memory."""
        key = recipe_hash(passes)
        if key not in self._shared:
            self._shared.clear()
            self._shared[key] = run_passes(self.model, self._ready(passes))
        return self._shared[key]

    def _make(self, candidate: Candidate, target: Target) -> Variant:
        passes = (*candidate.shared, *candidate.finish(target))
        finish = self._ready(passes, target.name)[len(candidate.shared) :]
        model = run_passes(self.shared_model(candidate.shared), finish)
        with tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=self.folder) as scratch:
            artifact = export(model, target, Path(scratch), strict=self.strict)
            measured = self._measure(artifact, target)
            # the runtime ran the file in a process of its own by now: it will not end this one
            agreement = parity(model, artifact, next(self.task.calibration(16)))
            parent = self._parent(candidate, target)
            variant = self.store.add(
                key=self.key(candidate, target),
                name=candidate.name,
                target=target.name,
                artifact=artifact,
                measurements=(*measured, agreement.measurement),
                recipe=write(passes),
                parent=parent,
                seed=self.seed,
                details=_details(model, self.shared_model(candidate.shared), agreement, artifact),
            )
        self._forget_checkpoints(finish)
        return variant

    def _measure(self, artifact: Artifact, target: Target) -> tuple[Measurement, ...]:
        reference = self.references.get(target.name)
        if reference is None:  # the original is its own reference, PyTorch stands beside it
            reference = Reference(artifact, self._eager_file())
        return measure(artifact, target, self.task, reference)

    def _parent(self, candidate: Candidate, target: Target) -> str | None:
        wanted = candidate.parent or "original"
        for variant in self.store.family().variants:
            if variant.name == wanted and variant.target == target.name:
                return variant.id
        return None

    def _ready(self, passes: Sequence[Pass], target: str = "") -> tuple[Pass, ...]:
        """Gives every training pass its limit of time and, named by all before it, its folder."""
        ready: list[Pass] = []
        for index, pass_ in enumerate(passes):
            if isinstance(pass_, FineTune | Distill):
                work = recipe_hash(passes[: index + 1]) + self.fingerprint + str(self.seed) + target
                name = hashlib.sha256(work.encode()).hexdigest()[:16]
                limit = self.epoch_limit_s and max(_SHORT_S, self.epoch_limit_s * pass_.epochs)
                pass_ = dataclasses.replace(  # noqa: PLW2901
                    pass_, checkpoint=self.folder / "training" / name, time_limit_s=limit
                )
            ready.append(pass_)
        return tuple(ready)

    @staticmethod
    def _forget_checkpoints(passes: Sequence[Pass]) -> None:
        for pass_ in passes:
            if isinstance(pass_, FineTune | Distill) and pass_.checkpoint is not None:
                shutil.rmtree(pass_.checkpoint, ignore_errors=True)

    def _eager_file(self) -> Path:
        """The original as PyTorch's own archive, so that another process can run it eagerly."""
        path = self.folder / "original.pt2"
        if not path.exists() or self.store.notes().get("eager_sha256") != sha256_of(path):
            with replacing(path) as partial:
                torch.export.save(trace(self.model).program, partial)
                self.store.note("eager_sha256", sha256_of(partial))
        return path


def _details(
    model: Model, runnable: Model, agreement: Parity, artifact: Artifact
) -> Mapping[str, Any]:
    """What the report tells of a variant besides its measurements."""
    return {
        "layers": layer_rows(model, runnable),
        "passes": [dataclasses.asdict(step) for step in model.history],
        "parity_culprit": agreement.culprit,
        "weights": artifact.weights,
        "notes": [note.text for note in artifact.notes],
    }
