"""ResNet-20 on CIFAR-10 with each technique alone, then one epoch of distillation from itself.

So that they can be compared: four of five weights go, or half in patterns but 1:4; half the inner
channels of every block; half of the multiplications. What is done while training has an epoch of
its own, and weights that go again and again have two. Nothing was tuned.

Rows are of test images 2,000 to 9,999.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from cases import Case
from remembered import remembered
from rows import Row
from scoring import EXAMPLE
from variants import folder, reference_of, rows_of

import lilliput as lp
from lilliput.core import TrainingHook
from lilliput.prune import Importance, Pattern, Random
from lilliput.train import SGD, Training

TARGET = lp.get_target("onnxruntime-cpu")
LAST = tuple(f"layer3.{block}.conv{i}" for block in range(3) for i in (1, 2))
CHANNELS = {"layer*.conv1": 0.5}

Learn = Callable[..., lp.Pass]
"""One epoch, given the name of its checkpoint and hooks."""
Way = Callable[[lp.Task, Learn], Sequence[lp.Pass]]


def pattern(kind: Pattern) -> Way:
    """What the pattern says, by magnitude."""
    return lambda _task, learn: [lp.PruneWeights(pattern=kind), learn()]


def channels(importance: Callable[[lp.Task], Importance]) -> Way:
    """Half the inner channels."""
    return lambda task, learn: [lp.PruneChannels(CHANNELS, importance(task)), learn()]


def after(hook: Callable[[lp.Task], TrainingHook], importance: Importance) -> Way:
    """Half the inner channels, after an epoch that readies them."""
    return lambda task, learn: [
        learn("before", (hook(task),)),
        lp.PruneChannels(CHANNELS, importance),
        learn(),
    ]


def edited(build: Callable[[lp.Task], lp.Pass]) -> Way:
    """Other layers for the same job, fitted to what they read where they can be."""
    return lambda task, learn: [build(task), learn()]


WAYS: dict[str, Way] = {
    "magnitude": lambda _, learn: [lp.PruneWeights(0.8), learn()],
    "per-layer": lambda _, learn: [lp.PruneWeights(0.8, allotment=lp.PerLayer()), learn()],
    "erk": lambda _, learn: [lp.PruneWeights(0.8, allotment=lp.ErdosRenyiKernel()), learn()],
    "by-sensitivity": lambda task, learn: [
        lp.PruneWeights(0.8, allotment=lp.BySensitivity(task)),
        learn(),
    ],
    "again": lambda _, learn: [
        lp.PruneWeights(0.55),
        learn("before"),
        lp.PruneWeights(0.8),
        learn(),
    ],
    "gradual": lambda _, learn: [lp.PruneWeights(0.0), learn(hooks=(lp.GradualPruning(0.8),))],
    "movement": lambda _, learn: [
        lp.ScoreMovement(),
        learn(hooks=(lp.MovementPruning(0.8),)),
        lp.FixMasks(),
    ],
    "second-order": lambda task, learn: [lp.PruneSecondOrder(task, 0.8), learn()],
    "2of4": pattern(lp.NOfM(2, 4)),
    "1of4": pattern(lp.NOfM(1, 4)),
    "4of8": pattern(lp.NOfM(4, 8)),
    "blocks-1x4": pattern(lp.WeightBlocks(1, 4)),
    "blocks-4x1": pattern(lp.WeightBlocks(4, 1)),
    "blocks-8x8": pattern(lp.WeightBlocks(8, 8)),
    "l1": channels(lambda _: lp.Magnitude(1.0)),
    "l2": channels(lambda _: lp.Magnitude(2.0)),
    "filters-l2": channels(lambda _: lp.FilterNorm(2.0)),
    "geometric-median": channels(lambda _: lp.GeometricMedian()),
    "taylor": channels(lp.Taylor),
    "fisher": channels(lp.Fisher),
    "norm-scales": after(lambda _: lp.ScaleSparsity(), lp.BatchNormScale()),
    "group-sparsity": after(lp.GroupSparsity, lp.Magnitude(2.0)),
    "random": channels(lambda _: Random()),
    "by-latency": lambda task, learn: [lp.NarrowToLatency(task, TARGET, 0.6), learn()],
    "similar-blocks": lambda task, learn: [lp.RemoveSimilarBlocks(task, 2), learn()],
    "channel-svd": edited(lambda task: lp.FactorizeLayers(0.5, lp.ChannelSvd(), task)),
    "spatial-svd": edited(lambda task: lp.FactorizeLayers(0.5, lp.SpatialSvd(), task)),
    "tucker": edited(lambda task: lp.FactorizeLayers(0.5, lp.Tucker(), task)),
    "separable": edited(lambda task: lp.SeparateConvolutions(LAST, task)),
    "kernels": edited(lambda task: lp.ShrinkKernels(1, LAST[1::2], task)),
    "stride-later": edited(lambda _: lp.MoveStride(LAST[0], LAST[1])),
    "dilation": edited(lambda _: lp.DilateInstead((LAST[0],))),
    "narrow": edited(lambda _: lp.Narrow(0.7)),
}


def made(name: str, way: Way) -> list[Row]:
    """Runs a technique, exports and measures."""
    model, task = EXAMPLE.resnet20()

    def learn(part: str = "after", hooks: tuple[TrainingHook, ...] = ()) -> lp.Pass:
        return lp.Distill(
            task,
            remembered(model, "resnet20"),
            epochs=1,
            learning_rate=0.02,
            temperature=4.0,
            alpha=0.9,
            training=Training(optimizer=SGD(weight_decay=5e-4)),
            hooks=hooks,
            checkpoint=folder(f"each-{name}") / part,
        )

    small = lp.run(model, way(task, learn))
    reference = reference_of("each", model, TARGET)
    return rows_of(f"each-{name}", model, small, task, reference, TARGET)


def cases() -> Iterator[Case]:
    """One for each technique."""
    for name, way in WAYS.items():
        yield Case(f"each-{name}", partial(made, name, way))
