"""EfficientNet-Lite0 after training: int8, and weights of four bits."""

import resource
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache, partial

import lite0
import numpy as np
import torch
from cases import Case
from rows import Row
from scoring import WORK

import lilliput as lp
from lilliput.core import Target

Passes = Callable[[Target, lp.Task], list[lp.Pass]]


@cache
def reference(target: str) -> lp.Reference:
    """The float file for a target, and PyTorch's archive for the eager times."""
    folder = WORK / "lite0" / f"float-{target}"
    folder.mkdir(parents=True, exist_ok=True)
    model, eager = lite0.model(), folder / "original.pt2"
    torch.export.save(lp.trace(model).program, eager)
    artifact = lp.export(model, lp.get_target(target), folder)
    return lp.Reference(artifact, eager, cache=folder / "scores")


def rows_of(case: str, target: str, artifact: lp.Artifact, system: str = "lilliput") -> list[Row]:
    """Score, size and speed of one file, and how far it is from the float network."""
    task = replace(lite0.task(), test=None)
    found = lp.measure(artifact, lp.get_target(target), task, reference(target))
    rows = [
        Row(case, system, m.quantity, m.value, m.unit, m.method, m.low, m.high, m.samples)
        for m in found
    ]
    return [*rows, *against_float(case, artifact, system)]


@cache
def float_logits() -> np.ndarray:
    """PyTorch's own outputs for the 300 photos, `[300, 1000]`."""
    module = lite0.model().module
    with torch.no_grad():
        return torch.cat([module(x) for x, _ in lite0.task().validation]).numpy()


def against_float(case: str, artifact: lp.Artifact, system: str = "lilliput") -> list[Row]:
    """Mean KL from the float softmax with a 95 % bootstrap interval, and agreement of the top-1."""
    run = lp.load(artifact.path, artifact.format)
    logits = np.concatenate([run((x.numpy(),))[0] for x, _ in lite0.task().validation])
    theirs, ours = (torch.from_numpy(x).log_softmax(1) for x in (float_logits(), logits))
    kl = (theirs.exp() * (theirs - ours)).sum(1).numpy()
    draws = np.random.default_rng(0).integers(0, len(kl), (2000, len(kl)))
    low, high = np.percentile(kl[draws].mean(1), (2.5, 97.5))
    agreement = float((theirs.argmax(1) == ours.argmax(1)).float().mean())
    quantity = "KL to the float softmax"
    return [
        Row(
            case,
            system,
            quantity,
            float(kl.mean()),
            "nats",
            "measured",
            float(low),
            float(high),
            len(kl),
        ),
        Row(case, system, "agreement", agreement, "1", "measured", samples=len(kl)),
    ]


def made(case: str, target: str, passes: Passes) -> list[Row]:
    """Runs a recipe, exports and measures; how long the recipe takes, and how much memory."""
    chosen, task = lp.get_target(target), lite0.task()
    start = time.perf_counter()
    model = lp.run(lite0.model(), passes(chosen, task))
    seconds = time.perf_counter() - start
    # of the whole process so far: a case by itself shows its own
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0
    return [
        *rows_of(case, target, lp.export(model, chosen, WORK / "lite0" / case)),
        Row(case, "lilliput", "time of the recipe", seconds, "s", "measured"),
        Row(case, "lilliput", "peak memory of the recipe", most, "B", "measured"),
    ]


def static(observer: lp.MinMax | lp.MeanSquaredError | lp.Percentile) -> Passes:
    """int8 with the ranges of an observer."""
    return lambda target, task: [
        lp.QuantizeStatic(target.rules, task, observer=observer, samples=lite0.CALIBRATION)
    ]


def rounded(target: Target, task: lp.Task) -> list[lp.Pass]:
    """int8, each layer rounded by what it reads."""
    return [*static(lp.MeanSquaredError())(target, task), second_order(task)]


def four_bits(
    *after: Callable[[lp.Task], lp.Pass], weights: Mapping[str, int] | None = None
) -> Passes:
    """Weights of four bits, clipped where that costs least, then what rounds them better."""
    precision = lp.Precision({"*": 4, **(weights or {})})

    def passes(target: Target, task: lp.Task) -> list[lp.Pass]:
        nearest = lp.QuantizeStatic(
            target.rules, task, lp.MeanSquaredError(), lite0.CALIBRATION, precision
        )
        return [nearest, *(make(task) for make in after)]

    return passes


def learned(task: lp.Task) -> lp.Pass:
    """Layer by layer, learned."""
    return lp.LearnRounding(task, samples=lite0.CALIBRATION)


def second_order(task: lp.Task) -> lp.Pass:
    """Layer by layer, with error feedback."""
    return lp.RoundSecondOrder(task, samples=lite0.CALIBRATION)


def blocks(task: lp.Task) -> lp.Pass:
    """Block by block, learned."""
    return lp.ReconstructBlocks(task, samples=lite0.CALIBRATION, steps=150)


def cases() -> Iterator[Case]:
    """Each recipe for each runtime."""
    recipes: dict[str, Passes] = {
        "float": lambda _target, _task: [],
        "int8-MinMax": static(lp.MinMax()),
        "int8-MeanSquaredError": static(lp.MeanSquaredError()),
        "int8-RoundSecondOrder": rounded,
    }
    for target in ("onnxruntime-cpu", "litert-cpu", "executorch-cpu"):
        for name, passes in recipes.items():
            case = f"lite0-{name}-{target.removesuffix('-cpu')}"
            yield Case(case, partial(made, case, target, passes))
    for name, passes in FOUR_BITS.items():
        case = f"lite0-w4a8-{name}-onnxruntime"
        yield Case(case, partial(made, case, "onnxruntime-cpu", passes))


ENDS = {"_conv_stem": 8, "_fc": 8}
FOUR_BITS = {
    "nearest": four_bits(),
    "LearnRounding": four_bits(learned),
    "RoundSecondOrder": four_bits(second_order),
    "ReconstructBlocks": four_bits(blocks),
    "RoundSecondOrder-LearnRounding": four_bits(second_order, learned),
    "RoundSecondOrder-ReconstructBlocks": four_bits(second_order, blocks),
    "RoundSecondOrder-ends-8": four_bits(second_order, weights=ENDS),
    "RoundSecondOrder-LearnRounding-ends-8": four_bits(second_order, learned, weights=ENDS),
}
