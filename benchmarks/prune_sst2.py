"""MiniLM-L6 fine-tuned on SST-2: half its heads and half its MLP width, and 2:4 sparsity.

Choices were made on 1,000 training phrases; rows are of the 872 phrases to evaluate.
"""

from collections.abc import Callable, Iterator
from functools import cache, partial

import sst2
from cases import Case
from rows import Row
from variants import folder, reference_of, rows_of

import lilliput as lp
from lilliput.prune import NOfM, PruneHeads, PruneSecondOrder, PruneVocabulary
from lilliput.train import AdamW, Cosine, Training

TARGET = lp.get_target("onnxruntime-cpu")
LEARN = Training(optimizer=AdamW(), schedule=Cosine(warmup=0.1), clip_norm=1.0)

UNKNOWN = 100
"""The token of what is in no vocabulary."""

Passes = Callable[[lp.Task, lp.Model], list[lp.Pass]]


@cache
def trained() -> lp.Model:
    """One epoch from the published encoder."""
    learn = lp.FineTune(
        sst2.task(), epochs=1, learning_rate=1e-4, training=LEARN, checkpoint=folder("sst2-dense")
    )
    return lp.run(sst2.fresh(), [learn])


@cache
def reference() -> lp.Reference:
    """Its file."""
    return reference_of("sst2", trained(), TARGET)


def taught(name: str, task: lp.Task, teacher: lp.Model, epochs: int = 1) -> lp.Distill:
    """What was lost is learned again from the whole network."""
    return lp.Distill(
        task,
        teacher,
        epochs=epochs,
        learning_rate=2e-4,
        temperature=2.0,
        alpha=0.5,
        training=LEARN,
        checkpoint=folder(name),
    )


def half(task: lp.Task, teacher: lp.Model) -> list[lp.Pass]:
    """Half the heads and half the width of every MLP, by what the loss would change."""
    importance = lp.Taylor(task)
    return [
        PruneHeads(0.5, importance),
        lp.PruneChannels({"*.up": 0.5}, importance),
        taught("sst2-half", task, teacher),
    ]


def two_of_four(task: lp.Task, teacher: lp.Model) -> list[lp.Pass]:
    """Two weights of each four, chosen and mended by what layers read."""
    return [PruneSecondOrder(task, pattern=NOfM(2, 4)), taught("sst2-2of4", task, teacher)]


def two_of_four_alone(task: lp.Task, _: lp.Model) -> list[lp.Pass]:
    """The same without training."""
    return [PruneSecondOrder(task, pattern=NOfM(2, 4))]


def words(task: lp.Task, _: lp.Model) -> list[lp.Pass]:
    """Only the tokens that the training phrases use."""
    return [PruneVocabulary(UNKNOWN, task)]


def made(case: str, passes: Passes) -> list[Row]:
    """Runs a recipe, exports and measures."""
    task, teacher = sst2.task(), trained()
    small = lp.run(teacher, passes(task, teacher))
    return rows_of(case, teacher, small, task, reference(), TARGET)


def cases() -> Iterator[Case]:
    """The whole network, then what is left of it."""
    recipes: dict[str, Passes] = {
        "float": lambda _task, _teacher: [],
        "vocabulary": words,
        "2of4-untrained": two_of_four_alone,
        "half": half,
        "2of4": two_of_four,
    }
    for name, passes in recipes.items():
        yield Case(f"sst2-{name}", partial(made, f"sst2-{name}", passes))
