"""VGG-16 on CIFAR-10: a third of its MACs and two thirds of its weights less, or 95 % zeros.

Trained here; choices were made on test images 0 to 1,999, rows are of images 2,000 to 9,999.

Source: Li et al. 2017, "Pruning Filters for Efficient ConvNets", section 4.1 and table 2: half of
the filters of the first and of the last six convolutions go.
"""

from collections.abc import Callable, Iterator
from functools import cache, partial

import vgg
from cases import Case
from remembered import remembered
from rows import Row
from scoring import EXAMPLE, TARGET
from variants import folder, reference_of, rows_of

import lilliput as lp
from lilliput.train import SGD, OneCycle, Training

EPOCHS = {"dense": 16, "filters": 4, "zeros": 6}

Passes = Callable[[lp.Task, lp.Model], list[lp.Pass]]


@cache
def trained() -> lp.Model:
    """The whole network, by one cycle."""
    how = Training(optimizer=SGD(weight_decay=5e-4), schedule=OneCycle(), label_smoothing=0.1)
    learn = lp.FineTune(
        EXAMPLE.task(),
        epochs=EPOCHS["dense"],
        learning_rate=0.1,
        training=how,
        checkpoint=folder("vgg16-dense"),
    )
    return lp.run(vgg.fresh(), [learn])


@cache
def reference() -> lp.Reference:
    """Its file."""
    return reference_of("vgg16", trained(), TARGET)


def taught(name: str, task: lp.Task, teacher: lp.Model, rate: float, **options: object) -> lp.Pass:
    """What was lost, learned again from the whole network."""
    return lp.Distill(
        task,
        remembered(teacher, "vgg16"),
        epochs=EPOCHS[name],
        learning_rate=rate,
        training=Training(optimizer=SGD(weight_decay=5e-4)),
        checkpoint=folder(f"vgg16-{name}"),
        **options,
    )


def filters(task: lp.Task, teacher: lp.Model) -> list[lp.Pass]:
    """The smallest half of the filters of seven layers."""
    names = vgg.convolutions(teacher)
    chosen = dict.fromkeys((names[0], *names[7:]), 0.5)
    importance = lp.FilterNorm(1.0)
    return [lp.PruneChannels(chosen, importance), taught("filters", task, teacher, 0.02)]


def zeros(task: lp.Task, teacher: lp.Model) -> list[lp.Pass]:
    """95 % of all weights, little by little."""
    hooks = (lp.GradualPruning(0.95, end=0.6),)
    return [lp.PruneWeights(0.0), taught("zeros", task, teacher, 0.05, hooks=hooks)]


def made(name: str, passes: Passes) -> list[Row]:
    """Runs a recipe, exports and measures."""
    task, teacher = EXAMPLE.task(), trained()
    small = lp.run(teacher, passes(task, teacher))
    return rows_of(f"vgg16-{name}", teacher, small, task, reference(), TARGET)


def cases() -> Iterator[Case]:
    """The whole network, then less of it."""
    recipes: dict[str, Passes] = {"dense": lambda _t, _m: [], "filters": filters, "zeros": zeros}
    for name, passes in recipes.items():
        yield Case(f"vgg16-{name}", partial(made, name, passes))
