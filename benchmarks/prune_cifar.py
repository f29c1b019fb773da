"""ResNet-56 on CIFAR-10 with fewer MACs: whole blocks go, and half the inner channels of others.

Blocks and channels went by how much validation (test images 0 to 1,999) lost without each alone;
rows are of images 2,000 to 9,999.
"""

from collections.abc import Callable, Iterator
from functools import partial

from cases import Case
from remembered import remembered
from rows import Row
from scoring import EXAMPLE, TARGET, WORK, float_reference, rows_of

import lilliput as lp
from lilliput.prune import RemoveBlocks
from lilliput.train import SGD, Training

Passes = Callable[[lp.Task, lp.Model], list[lp.Pass]]
EPOCHS, SHORT = 20, 3

ENDS = ("layer2.0", "layer3.0")
"""Blocks whose inner channels the network can spare least."""


def half(model: lp.Model, blocks: tuple[str, ...], spared: tuple[str, ...]) -> dict[str, float]:
    """Half the inner channels of all blocks that stay but those spared."""
    whole = tuple(f"{block}." for block in (*blocks, *spared))
    names = [group.name for group in lp.channel_groups(lp.trace(model))]
    inner = [name for name in names if name.startswith("layer") and name.endswith(".conv1")]
    return {name: 0.5 for name in inner if not name.startswith(whole)}


def smaller(  # noqa: PLR0913, PLR0917
    name: str,
    blocks: tuple[str, ...],
    spared: tuple[str, ...],
    epochs: int,
    rate: float,
    mixing: lp.CutMix | None = None,
    has_layers: bool = False,
) -> Passes:
    """Blocks and channels go, then the whole network teaches what is left.

    With `has_layers` it teaches each block alone before, from 4,096 images without labels.
    """

    def build(task: lp.Task, model: lp.Model) -> list[lp.Pass]:
        ratios = half(model, blocks, spared)
        start: list[lp.Pass] = [RemoveBlocks(blocks), lp.PruneChannels(ratios)]
        if has_layers:
            start[1] = lp.PruneChannels(ratios, importance=lp.FilterNorm(2.0))
            start.append(lp.DistillLayers(task, model, samples=4096, steps=600, batch=64))
        return [
            *start,
            lp.Distill(
                task,
                remembered(model, "resnet56"),
                epochs=epochs,
                learning_rate=rate,
                temperature=4.0,
                alpha=0.9 if mixing is None else 1.0,
                mixing=mixing,
                training=Training(optimizer=SGD(weight_decay=5e-4)),
                checkpoint=WORK / "prune" / name,
            ),
        ]

    return build


def taught(
    name: str,
    task: lp.Task,
    teacher: lp.Model,
    epochs: int,
    mixing: lp.CutMix | None = None,
    **options: object,
) -> lp.Pass:
    """What was lost, learned again from the whole network."""
    return lp.Distill(
        task,
        remembered(teacher, "resnet56"),
        epochs=epochs,
        learning_rate=0.02,
        temperature=4.0,
        alpha=0.9 if mixing is None else 1.0,
        mixing=mixing,
        training=Training(optimizer=SGD(weight_decay=5e-4)),
        checkpoint=WORK / "prune" / name,
        **options,
    )


def zeros(task: lp.Task, model: lp.Model) -> list[lp.Pass]:
    """Nine of ten weights go, little by little."""
    hooks = (lp.GradualPruning(0.9, end=0.6),)
    learn = taught("resnet56-90", task, model, EPOCHS, lp.CutMix(0.5), hooks=hooks)
    return [lp.PruneWeights(0.0), learn]


def low_rank(task: lp.Task, model: lp.Model) -> list[lp.Pass]:
    """Half the multiplications of all convolutions, as columns and rows."""
    factors = lp.FactorizeLayers(0.5, lp.SpatialSvd(), task)
    return [factors, taught("resnet56-low-rank", task, model, SHORT)]


def separable(task: lp.Task, model: lp.Model) -> list[lp.Pass]:
    """The last stage in separable convolutions, layer after layer, then as a whole."""
    layers = tuple(
        n for n, _ in model.module.named_modules() if n.startswith("layer3.") and "conv" in n
    )
    return [
        lp.SeparateConvolutions(layers, task),
        lp.DistillLayers(task, model),
        taught("resnet56-separable", task, model, SHORT),
    ]


def fewer_macs(case: str, system: str, before: lp.Model, after: lp.Model) -> Row:
    """How many times fewer multiplications."""
    counts = [sum(row.macs for row in lp.cost(lp.trace(model))) for model in (before, after)]
    return Row(case, system, "float MACs / MACs", counts[0] / counts[1], "1", "counted")


def made(name: str, net: str, passes: Passes) -> list[Row]:
    """Runs a recipe, exports and measures."""
    model, task = getattr(EXAMPLE, net)()
    small = lp.run(model, passes(task, model))
    artifact = lp.export(small, TARGET, WORK / "prune" / name)
    rows = rows_of(name, "lilliput", artifact, task, float_reference(net, model))
    return [*rows, fewer_macs(name, "lilliput", model, small)]


def cases() -> Iterator[Case]:
    """The given net, with ever fewer MACs; once with blocks of the first stage gone for speed."""
    stage1 = ("layer1.2", "layer1.4", "layer1.5", "layer1.8")
    first = ("layer1.1", "layer1.3", "layer1.6", "layer1.7")
    few, more = (
        ("layer1.5", "layer2.7", "layer2.8"),
        ("layer1.4", "layer2.1", "layer2.4", "layer2.6"),
    )
    six = (*("layer1.0", "layer1.4", "layer1.5"), *("layer2.2", "layer2.4", "layer3.8"))
    spared = (*ENDS, "layer1.7", "layer2.3", "layer3.1")
    mixing = lp.CutMix(0.5)
    for name, settings in (
        ("resnet56-2.1x", (six, spared, EPOCHS, 0.02, mixing, True)),
        ("resnet56-2.1x-2-epochs", (six, spared, 2, 0.01, None, True)),
        ("resnet56-2.1x-plain-12", (few, ENDS, 12, 0.02)),
        ("resnet56-2.1x-plain-20", (few, ENDS, EPOCHS, 0.05, mixing)),
        ("resnet56-2.55x", ((*few, *more), ("layer2.0",), EPOCHS, 0.02)),
        ("resnet56-2.1x-blocks", ((*stage1, "layer2.7", "layer2.8"), first, 12, 0.05)),
    ):
        passes = smaller(name, *settings)
        yield Case(name, partial(made, name, "resnet56", passes))
    for name, recipe in (
        ("resnet56-90", zeros),
        ("resnet56-low-rank", low_rank),
        ("resnet56-separable", separable),
    ):
        yield Case(name, partial(made, name, "resnet56", recipe))
