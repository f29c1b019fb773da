"""One scale for each weight where channels differ by powers of ten, before and after repair."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, partial

import torch
from cases import Case
from ranges import broken
from rows import Row
from scoring import WORK

import lilliput as lp
from lilliput.core import Target
from lilliput.core.integer import PerTensor

__all__ = ["broken", "cases", "per_tensor"]


def per_tensor() -> Target:
    """ONNX Runtime with one scale for a weight, as some accelerators want it."""
    target = lp.get_target("onnxruntime-cpu")
    assert target.rules is not None  # noqa: S101
    weight = replace(target.rules.weight, granularity=PerTensor())
    return replace(target, rules=replace(target.rules, weight=weight))


@cache
def reference() -> lp.Reference:
    """The broken net's own float file."""
    folder = WORK / "ranges" / "float"
    folder.mkdir(parents=True, exist_ok=True)
    model, eager = broken()[0], folder / "original.pt2"
    torch.export.save(lp.trace(model).program, eager)
    artifact = lp.export(model, per_tensor(), folder)
    return lp.Reference(artifact, eager, cache=folder / "scores")


def made(case: str, passes: Callable[[lp.Task, Target], list[lp.Pass]]) -> list[Row]:
    """Runs a recipe on the broken net, exports and measures."""
    (model, task), target = broken(), per_tensor()
    artifact = lp.export(lp.run(model, passes(task, target)), target, WORK / "ranges" / case)
    return [
        Row(case, "lilliput", m.quantity, m.value, m.unit, m.method, m.low, m.high, m.samples)
        for m in lp.measure(artifact, target, task, reference())
    ]


def cases() -> Iterator[Case]:
    """Each recipe; none trains, none sees a label."""

    def static(task: lp.Task, target: Target) -> lp.QuantizeStatic:
        return lp.QuantizeStatic(target.rules, task)

    equalize = partial(lp.EqualizeLayers, absorbs_biases=True)
    recipes: dict[str, Callable[[lp.Task, Target], list[lp.Pass]]] = {
        "float": lambda _task, _target: [],
        "int8": lambda task, target: [static(task, target)],
        "int8-bias": lambda task, target: [static(task, target), lp.CorrectBias(task)],
        "int8-equalized": lambda task, target: [lp.EqualizeLayers(), static(task, target)],
        "int8-equalized-absorbed": lambda task, target: [equalize(task), static(task, target)],
        "int8-equalized-bias": lambda task, target: [
            lp.EqualizeLayers(),
            static(task, target),
            lp.CorrectBias(task),
        ],
        "int8-equalized-bias-statistics": lambda task, target: [
            lp.EqualizeLayers(),
            static(task, target),
            lp.CorrectBiasFromStatistics(),
        ],
    }
    for name, passes in recipes.items():
        yield Case(f"ranges-{name}", partial(made, f"ranges-{name}", passes))
