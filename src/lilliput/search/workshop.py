"""Where candidates become variants: run the recipe, export, check, measure, store."""

import dataclasses
import hashlib
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from lilliput.core import Artifact, LilliputError, Measurement, Model, Pass, Target, Task
from lilliput.core import run as run_passes
from lilliput.export import export, parity
from lilliput.graph import cost, trace
from lilliput.measure import Reference, measure
from lilliput.measure.layer_times import layer_times
from lilliput.recipe import recipe_hash, write
from lilliput.registry import Store, Variant, work_key
from lilliput.search.candidate import Candidate

__all__ = ["Workshop", "layer_rows", "model_identity"]


def model_identity(model: Model) -> str:
    """A digest of the network's class and weights."""
    digest = hashlib.sha256(type(model.module).__qualname__.encode())
    for name, value in sorted(model.module.state_dict().items()):
        digest.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
        digest.update(
            value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes()
        )
    return digest.hexdigest()


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

    Args:
        model: The original.
        task: Its data and metric.
        store: Where variants go the moment they are measured.
        folder: Where training checkpoints go.
        seed: Recorded with every variant.
    """

    model: Model
    task: Task
    store: Store
    folder: Path
    seed: int = 0
    references: dict[str, Reference] = field(default_factory=dict)
    _shared: dict[str, Model] = field(default_factory=dict)

    def __post_init__(self) -> None:
        both = model_identity(self.model) + self.task.identity()
        self.fingerprint = hashlib.sha256(both.encode()).hexdigest()

    def key(self, candidate: Candidate, target: Target) -> str:
        """Identifies the work: recipe, original, data, seed and target."""
        passes = (*candidate.shared, *candidate.finish(target))
        return work_key(recipe_hash(passes), self.fingerprint, self.seed, target.name)

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
            self._shared[key] = run_passes(self.model, self._with_checkpoints(passes))
        return self._shared[key]

    def _make(self, candidate: Candidate, target: Target) -> Variant:
        passes = (*candidate.shared, *candidate.finish(target))
        finish = self._with_checkpoints(passes, target.name)[len(candidate.shared) :]
        model = run_passes(self.shared_model(candidate.shared), finish)
        with tempfile.TemporaryDirectory(dir=self.folder) as scratch:
            artifact = export(model, target, Path(scratch))
            measurements = self._measure(model, artifact, target)
            parent = self._parent(candidate, target)
            variant = self.store.add(
                key=self.key(candidate, target),
                name=candidate.name,
                target=target.name,
                artifact=artifact,
                measurements=measurements,
                recipe=write(passes),
                parent=parent,
                seed=self.seed,
                details=_details(model, self.shared_model(candidate.shared)),
            )
        self._forget_checkpoints(finish)
        return variant

    def _measure(self, model: Model, artifact: Artifact, target: Target) -> tuple[Measurement, ...]:
        inputs = next(self.task.calibration(16))
        agreement = parity(model, artifact, inputs)
        reference = self.references.get(target.name)
        if reference is None:  # the original is its own reference, PyTorch stands beside it
            reference = Reference(artifact, self._eager_file())
        measured = measure(artifact, target, self.task, reference)
        return (*measured, agreement.measurement)

    def _parent(self, candidate: Candidate, target: Target) -> str | None:
        wanted = candidate.parent or "original"
        for variant in self.store.family().variants:
            if variant.name == wanted and variant.target == target.name:
                return variant.id
        return None

    def _with_checkpoints(self, passes: Sequence[Pass], target: str = "") -> tuple[Pass, ...]:
        """Gives every training pass a folder of its own, named by all that leads up to it."""
        ready: list[Pass] = []
        for index, pass_ in enumerate(passes):
            if hasattr(pass_, "checkpoint"):
                work = recipe_hash(passes[: index + 1]) + self.fingerprint + target
                name = hashlib.sha256(work.encode()).hexdigest()[:16]
                pass_ = dataclasses.replace(pass_, checkpoint=self.folder / "training" / name)  # type: ignore[type-var]  # noqa: PLW2901
            ready.append(pass_)
        return tuple(ready)

    @staticmethod
    def _forget_checkpoints(passes: Sequence[Pass]) -> None:
        for pass_ in passes:
            folder = getattr(pass_, "checkpoint", None)
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)

    def _eager_file(self) -> Path:
        """The original as PyTorch's own archive, so that another process can run it eagerly."""
        path = self.folder / "original.pt2"
        if not path.exists():
            partial = path.with_suffix(".partial.pt2")
            torch.export.save(trace(self.model).program, partial)
            partial.replace(path)
        return path


def _details(model: Model, runnable: Model) -> Mapping[str, Any]:
    history = [dataclasses.asdict(step) for step in model.history]
    return {"layers": layer_rows(model, runnable), "passes": history}
