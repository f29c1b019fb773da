"""ResNet-20 and ResNet-56 on CIFAR-10: int8 after training, and few bits while training.

Choices were made on test images 0 to 1,999; rows are of images 2,000 to 9,999.
"""

from collections.abc import Callable, Iterator
from functools import partial

from cases import Case
from rows import Row
from scoring import EXAMPLE, TARGET, WORK, float_reference, rows_of

import lilliput as lp
from lilliput.train import SGD, Training

Passes = Callable[[lp.Task, lp.Model], list[lp.Pass]]


def static(task: lp.Task) -> lp.QuantizeStatic:
    """int8, clipped where that costs least."""
    return lp.QuantizeStatic(TARGET.rules, task, observer=lp.MeanSquaredError())


def ranges(task: lp.Task, _: lp.Model) -> list[lp.Pass]:
    """Second-order rounding, then ranges by what the outputs lose."""
    return [static(task), lp.RoundSecondOrder(task), lp.LearnRanges(task)]


def blocks(task: lp.Task, _: lp.Model) -> list[lp.Pass]:
    """Block after block: roundings, biases and steps of activations."""
    return [static(task), lp.ReconstructBlocks(task, steps=100, learns_steps=True)]


def trained(name: str, weights: int, activations: int, epochs: int) -> Passes:
    """Learned steps, taught by the float network itself; the ends keep 8 bits.

    Gradients are clipped: without BatchNorm, which is folded, a long one ends the training.
    """

    def build(task: lp.Task, model: lp.Model) -> list[lp.Pass]:
        ends = dict.fromkeys(("conv1", "linear"), 8)
        precision = lp.Precision(
            {"*": weights, **ends},
            {"*": activations, **ends} if activations < 8 else {},
        )
        return [
            lp.QuantizeAware(
                TARGET.rules,
                task,
                observer=lp.MeanSquaredError(),
                precision=precision,
                learns_scales=True,
            ),
            lp.Distill(
                task,
                model,
                epochs=epochs,
                learning_rate=0.01,
                temperature=4.0,
                alpha=0.9,
                training=Training(optimizer=SGD(weight_decay=1e-4), clip_norm=1.0),
                checkpoint=WORK / "quantize" / name,
            ),
        ]

    return build


def made(name: str, net: str, passes: Passes) -> list[Row]:
    """Runs a recipe, exports and measures."""
    model, task = getattr(EXAMPLE, net)()
    artifact = lp.export(lp.run(model, passes(task, model)), TARGET, WORK / "quantize" / name)
    return rows_of(name, "lilliput", artifact, task, float_reference(net, model))


def cases() -> Iterator[Case]:
    """Int8 first, then the trainings."""
    for net in ("resnet20", "resnet56"):
        for kind, passes in {"learned-ranges": ranges, "blocks": blocks}.items():
            name = f"{net}-int8-{kind}"
            yield Case(name, partial(made, name, net, passes))
    for weights, activations, epochs in ((4, 4, 2), (3, 8, 2), (2, 8, 4)):
        name = f"resnet20-w{weights}a{activations}-trained"
        yield Case(
            name, partial(made, name, "resnet20", trained(name, weights, activations, epochs))
        )
