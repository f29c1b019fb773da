"""EfficientNet-Lite0 made faster in four ways, to the same latency in ONNX Runtime.

Each way has one knob, turned until the file takes three quarters of the float one's time or as near
as it gets. Then every block learns to answer as the float network's does, or where widths between
blocks differ the whole network, from 200 photos without labels. The other 300 are scored: what
counts is agreement with the float network.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache, partial

import lite0
import numpy as np
import torch
from cases import Case
from rows import Row
from variants import folder, reference_of, rows_of

import lilliput as lp
from lilliput.measure import latency_ratios
from lilliput.train import AdamW, Training

TARGET = lp.get_target("onnxruntime-cpu")
SHARE = 0.75

Way = Callable[[float, lp.Task], list[lp.Pass]]


def choosing() -> lp.Task:
    """The task for all choices: the 200 photos alone."""
    return replace(lite0.task(), validation=lite0.Photos(0, lite0.CALIBRATION), test=None)


def pruned(knob: float, _: lp.Task) -> list[lp.Pass]:
    """Inner channels of every block, by the norm of what goes with them."""
    return [lp.PruneChannels({"*_expand_conv": 1 - knob}, multiple_of=16)]


def narrower(knob: float, _: lp.Task) -> list[lp.Pass]:
    """Every width by one factor, the first channels kept."""
    return [lp.Narrow(knob, multiple_of=8, is_fresh=False)]


def low_rank(knob: float, task: lp.Task) -> list[lp.Pass]:
    """Pointwise layers as two, fitted to what they read."""
    return [lp.FactorizeLayers(knob, lp.Svd(), task, samples=lite0.CALIBRATION)]


def separable(_: float, task: lp.Task) -> list[lp.Pass]:
    """The one dense convolution there is, the first; all others are separable already."""
    return [lp.SeparateConvolutions(task=task, samples=lite0.CALIBRATION)]


WAYS: dict[str, tuple[Way, Sequence[float]]] = {
    "pruned": (pruned, (0.8, 0.7, 0.6, 0.5)),
    "low-rank": (low_rank, (0.9, 0.75, 0.6, 0.45)),
    "narrower": (narrower, (0.9, 0.8, 0.7)),
    "separable": (separable, (1.0,)),
}


@cache
def reference() -> lp.Reference:
    """The float file."""
    return reference_of("lite0", lite0.model(), TARGET)


def quick_enough(name: str) -> lp.Model:
    """The first setting of the knob at which the file takes the share of the time."""
    way, knobs = WAYS[name]
    model, task = lite0.model(), choosing()
    for knob in knobs:
        small = lp.run(model, way(knob, task))
        artifact = lp.export(small, TARGET, folder(f"lite0-{name}-trial"))
        (ratio,) = latency_ratios([artifact], reference().artifact, TARGET, task)
        print(f"lite0-{name}: {knob} gives {ratio.value:.3f} of the time", flush=True)
        if ratio.value <= SHARE:
            break
    return small


def learned(name: str, small: lp.Model) -> lp.Model:
    """What the float network knows, block by block; as a whole where blocks do not compare."""
    model, task = lite0.model(), choosing()
    if name == "narrower":
        how = Training(optimizer=AdamW())
        learn: lp.Pass = lp.Distill(
            task, model, epochs=20, learning_rate=1e-3, alpha=1.0, training=how
        )
    else:
        learn = lp.DistillLayers(task, model, samples=lite0.CALIBRATION)
    return lp.run(small, [learn])


def made(name: str) -> list[Row]:
    """Rows before and after learning."""
    small = quick_enough(name)
    before = measured(f"lite0-{name}-untrained", small)
    return [*before, *measured(f"lite0-{name}", learned(name, small))]


def measured(case: str, small: lp.Model) -> list[Row]:
    """Score, size, speed and agreement."""
    task = replace(lite0.task(), test=None)
    rows = rows_of(case, lite0.model(), small, task, reference(), TARGET)
    renamed = {"metric of validation": "metric", "drop of validation": "drop"}
    rows = [replace(row, quantity=renamed.get(row.quantity, row.quantity)) for row in rows]
    return [*rows, agreement(case)]


def agreement(case: str) -> Row:
    """How often the file's best class is the float network's."""
    paths = (folder(case) / "lilliput" / "model.onnx", reference().artifact.path)
    ours, theirs = (lp.load(path, "onnx") for path in paths)
    batches = [x.numpy() for x, _ in lite0.task().validation]
    same = np.concatenate([ours((x,))[0].argmax(1) == theirs((x,))[0].argmax(1) for x in batches])
    return Row(
        case, "lilliput", "agreement", float(same.mean()), "1", "measured", samples=len(same)
    )


def cases() -> Iterator[Case]:
    """One for each way."""
    torch.manual_seed(0)
    for name in WAYS:
        yield Case(f"lite0-{name}", partial(made, name))
