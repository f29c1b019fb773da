"""Table of a well-known review on a net of ours: granularity, symmetry, when, and bits of weights.

A MobileNet of depthwise separable blocks on handwritten digits; activations have 8 bits. After
training: ranges of 512 examples, weights rounded to the nearest. While training: four epochs.

Source: Krishnamoorthi 2018, "Quantizing deep convolutional networks for efficient inference: A
whitepaper", tables 2 to 5.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache, partial
from itertools import product

import torch
from cases import Case
from ranges import task, whole
from rows import Row
from scoring import WORK

import lilliput as lp
from lilliput.core import Target
from lilliput.core.integer import PerChannel, PerTensor

__all__ = ["cases"]

GRANULARITIES = {"per-tensor": PerTensor(), "per-channel": PerChannel()}


def target_of(granularity: str, is_symmetric: bool) -> Target:
    """ONNX Runtime with other weights than it likes best."""
    target = lp.get_target("onnxruntime-cpu")
    weight = replace(
        target.rules.weight, granularity=GRANULARITIES[granularity], is_symmetric=is_symmetric
    )
    return replace(target, rules=replace(target.rules, weight=weight))


@cache
def reference() -> lp.Reference:
    """The float file."""
    folder = WORK / "review" / "float"
    folder.mkdir(parents=True, exist_ok=True)
    eager = folder / "original.pt2"
    torch.export.save(lp.trace(whole()).program, eager)
    artifact = lp.export(whole(), lp.get_target("onnxruntime-cpu"), folder)
    return lp.Reference(artifact, eager, cache=folder / "scores")


def made(case: str, target: Target, bits: int, is_trained: bool) -> list[Row]:
    """One cell of the table: exported, and scored in ONNX Runtime."""
    precision = lp.Precision({"*": bits} if bits < 8 else {})
    if is_trained:
        passes: list[lp.Pass] = [
            lp.QuantizeAware(target.rules, task(), precision=precision),
            lp.FineTune(task(), epochs=4, learning_rate=0.005),
        ]
    else:
        passes = [lp.QuantizeStatic(target.rules, task(), precision=precision)]
    artifact = lp.export(lp.run(whole(), passes), target, WORK / "review" / case)
    return [
        Row(case, "lilliput", m.quantity, m.value, m.unit, m.method, m.low, m.high, m.samples)
        for m in lp.measure(artifact, target, task(), reference())
    ]


def cases() -> Iterator[Case]:
    """Sixteen cells."""
    cells = product((8, 4), (False, True), GRANULARITIES, (True, False))
    for bits, is_trained, granularity, is_symmetric in cells:
        words = ("trained" if is_trained else "static", f"w{bits}", granularity)
        name = "-".join(("review", *words, "symmetric" if is_symmetric else "affine"))
        target = target_of(granularity, is_symmetric)
        yield Case(name, partial(made, name, target, bits, is_trained))
