"""The rows of one smaller network, from its own file: score, size, speed, and how much is left."""

from pathlib import Path

import torch
from rows import Row
from scoring import WORK
from torch import nn

import lilliput as lp
from lilliput.measure import measure_test

__all__ = ["left", "reference_of", "rows_of"]

FOLDER = WORK / "prune"
NAMES = {
    "metric": "metric of validation",
    "drop": "drop of validation",
    "test_metric": "metric",
    "test_drop": "drop",
}


def reference_of(name: str, model: lp.Model, target: lp.Target) -> lp.Reference:
    """The original's file for a target, and its PyTorch archive for the eager times."""
    folder = FOLDER / f"{name}-float-{target.name}"
    folder.mkdir(parents=True, exist_ok=True)
    eager = folder / "original.pt2"
    torch.export.save(lp.trace(model).program, eager)
    return lp.Reference(lp.export(model, target, folder), eager, cache=FOLDER / "scores")


def rows_of(  # noqa: PLR0913, PLR0917
    case: str,
    original: lp.Model,
    small: lp.Model,
    task: lp.Task,
    reference: lp.Reference,
    target: lp.Target,
    system: str = "lilliput",
) -> list[Row]:
    """Exports a smaller network and measures all of it.

    Args:
        case: Its name.
        original: What it was made from.
        small: What is measured.
        task: Data and metric.
        reference: The original's file for the target.
        target: Where it runs.
        system: Who made it.
    """
    artifact = lp.export(small, target, FOLDER / case / system.split(maxsplit=1)[0].lower())
    found = list(lp.measure(artifact, target, task, reference))
    if task.test is not None:
        found += measure_test(artifact, target, task, reference)
    rows = [
        Row(
            case,
            system,
            NAMES.get(m.quantity, m.quantity),
            m.value,
            m.unit,
            m.method,
            m.low,
            m.high,
            m.samples,
        )
        for m in found
    ]
    smaller = reference.artifact.size_bytes / artifact.size_bytes
    return [
        *rows,
        Row(case, system, "float size / size", smaller, "1", "measured"),
        *left(case, original, small, system),
    ]


def left(case: str, original: lp.Model, small: lp.Model, system: str = "lilliput") -> list[Row]:
    """How many times fewer multiplications and weights that are not zero."""
    fewer = macs(original) / macs(small)
    weights = [nonzero(model.module) for model in (original, small)]
    return [
        Row(case, system, "float MACs / MACs", fewer, "1", "counted"),
        Row(case, system, "float weights / weights", weights[0] / weights[1], "1", "counted"),
        Row(case, system, "weights", weights[1], "1", "counted"),
    ]


def macs(model: lp.Model) -> int:
    """Multiplications for one example."""
    return sum(row.macs for row in lp.cost(lp.trace(model)))


def nonzero(module: nn.Module) -> int:
    """Weights that are not zero, biases and norms left out."""
    layers = [layer for layer in module.modules() if hasattr(layer, "weight")]
    weights = {
        id(layer): layer.weight for layer in layers if isinstance(layer.weight, torch.Tensor)
    }
    return sum(int((w != 0).sum()) for w in weights.values() if w.dim() > 1)


def folder(case: str) -> Path:
    """Where the checkpoints of a case lie."""
    return FOLDER / case
