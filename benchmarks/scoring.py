"""What every CIFAR-10 case has in common: the float reference, and the rows of a finished file.

Ours and the peers' files go through the same code, so that their numbers can stand side by side.
"""

import importlib.util
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from rows import Row
from torch import Tensor

import lilliput as lp
from lilliput.measure import measure_test

HERE = Path(__file__).parent
WORK = HERE / "work"
TARGET = lp.get_target("onnxruntime-cpu")


def example() -> ModuleType:
    """`examples/cifar10.py` as a module."""
    spec = importlib.util.spec_from_file_location("cifar10", HERE.parent / "examples/cifar10.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


EXAMPLE = example()


def float_reference(net: str, model: lp.Model) -> lp.Reference:
    """The original's own ONNX file, and its PyTorch archive for the eager times."""
    folder = WORK / f"{net}-float"
    folder.mkdir(parents=True, exist_ok=True)
    eager = folder / "original.pt2"
    torch.export.save(lp.trace(model).program, eager)
    return lp.Reference(lp.export(model, TARGET, folder), eager, cache=WORK / "scores")


def rows_of(
    case: str, system: str, artifact: lp.Artifact, task: lp.Task, reference: lp.Reference
) -> list[Row]:
    """All rows of one file, each measured on the file itself."""
    everything = replace(
        task,
        test=EXAMPLE.Batches("test", 0, 10_000, 250, is_augmented=False),
        fingerprint="cifar10-all",
    )
    names = {"metric": "top-1 of validation", "drop": "drop of validation"}
    on_test = {"test_metric": "top-1", "test_drop": "drop"}
    on_all = {"test_metric": "top-1 of all", "test_drop": "drop of all"}
    found = [
        (names, lp.measure(artifact, TARGET, task, reference)),
        (on_test, measure_test(artifact, TARGET, task, reference)),
        (on_all, measure_test(artifact, TARGET, everything, reference)),
    ]
    rows = []
    for renamed, measurements in found:
        for m in measurements:
            quantity = renamed.get(m.quantity, m.quantity)
            rows.append(
                Row(case, system, quantity, m.value, m.unit, m.method, m.low, m.high, m.samples)
            )
    return rows + _against_float(case, system, artifact, reference.artifact)


def _against_float(
    case: str, system: str, artifact: lp.Artifact, original: lp.Artifact
) -> list[Row]:
    """How far the outputs are from those of the float file, and how much smaller the file is."""
    images = EXAMPLE.normalise(EXAMPLE.images("test")[0])
    theirs, ours = softmax(original, images), softmax(artifact, images)
    kl = (theirs * (np.log(theirs + 1e-12) - np.log(ours + 1e-12))).sum(1)
    agrees = ours.argmax(1) == theirs.argmax(1)
    smaller = original.size_bytes / artifact.size_bytes
    count = len(images)
    return [
        Row(
            case,
            system,
            "KL to the float softmax",
            float(kl.mean()),
            "nats",
            "measured",
            samples=count,
        ),
        Row(case, system, "agreement", float(agrees.mean()), "1", "measured", samples=count),
        Row(case, system, "float size / size", smaller, "1", "measured"),
    ]


def softmax(artifact: lp.Artifact, images: Tensor) -> np.ndarray:
    """Class probabilities of the file's own outputs, `[count, 10]`."""
    run = lp.load(artifact.path, artifact.format)
    outputs = np.concatenate([run((part.numpy(),))[0] for part in images.split(250)])
    exponents = np.exp(outputs - outputs.max(1, keepdims=True))
    return exponents / exponents.sum(1, keepdims=True)


def show(rows: list[Row]) -> None:
    """Prints one line a row."""
    for row in rows:
        where = f"{row.case:32} {row.system:24} {row.quantity:26}"
        print(f"{where} {row.value:12.5g} {row.unit}", flush=True)
