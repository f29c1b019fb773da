"""Sentence embeddings after training: int8, with and without scales moved into the weights."""

from collections.abc import Callable, Iterator
from functools import cache, partial

import minilm
import numpy as np
import torch
from cases import Case
from rows import Row
from scoring import TARGET, WORK

import lilliput as lp

__all__ = ["cases"]

Passes = Callable[[lp.Task], list[lp.Pass]]


@cache
def reference() -> lp.Reference:
    """The float file, and PyTorch's archive for the eager times."""
    folder = WORK / "minilm" / "float"
    folder.mkdir(parents=True, exist_ok=True)
    model, eager = minilm.model(), folder / "original.pt2"
    torch.export.save(lp.trace(model).program, eager)
    return lp.Reference(lp.export(model, TARGET, folder), eager, cache=folder / "scores")


def made(case: str, passes: Passes) -> list[Row]:
    """Runs a recipe, exports and measures."""
    task = minilm.task()
    small = lp.run(minilm.model(), passes(task))
    artifact = lp.export(small, TARGET, WORK / "minilm" / case)
    found = lp.measure(artifact, TARGET, task, reference())
    rows = [
        Row(case, "lilliput", m.quantity, m.value, m.unit, m.method, m.low, m.high, m.samples)
        for m in found
    ]
    return [*rows, cosine(case, artifact)]


def cosine(case: str, artifact: lp.Artifact) -> Row:
    """Mean cosine to PyTorch's own embeddings, with a 95 % bootstrap interval."""
    run = lp.load(artifact.path, artifact.format)
    batches = minilm.task().validation
    ours = np.concatenate([run(tuple(x.numpy() for x in inputs))[0] for inputs, _ in batches])
    found = (ours * minilm.embeddings().numpy()).sum(1) / np.linalg.norm(ours, axis=1)
    draws = np.random.default_rng(0).integers(0, len(found), (2000, len(found)))
    low, high = (float(end) for end in np.percentile(found[draws].mean(1), (2.5, 97.5)))
    quantity, count = "cosine to the float embedding", len(found)
    return Row(case, "lilliput", quantity, float(found.mean()), "1", "measured", low, high, count)


def static(task: lp.Task) -> lp.QuantizeStatic:
    """int8, calibrated on 128 phrases without labels."""
    return lp.QuantizeStatic(TARGET.rules, task, samples=minilm.CALIBRATION)


def cases() -> Iterator[Case]:
    """Each recipe; the norms of this network feed residual additions, so products are put in."""
    migrate = partial(lp.MigrateScales, samples=minilm.CALIBRATION, inserts_products=True)
    recipes: dict[str, Passes] = {
        "float": lambda _task: [],
        "int8": lambda task: [static(task)],
        "int8-migrated": lambda task: [migrate(task), static(task)],
        "int8-migrated-half": lambda task: [migrate(task, strength=0.5), static(task)],
    }
    for name, passes in recipes.items():
        yield Case(f"minilm-{name}", partial(made, f"minilm-{name}", passes))
