"""The arms of a comparison: the pruned network, and what it must beat to be worth the trouble."""

from collections.abc import Sequence
from dataclasses import dataclass

from lilliput.core import Model, Pass, PassError, Target, run
from lilliput.core.passes import name_of, stage_of
from lilliput.edit import Reinitialize
from lilliput.graph import cost, trace
from lilliput.search.contest.lesson import Lesson
from lilliput.search.contest.width import file_bytes, widest

__all__ = [
    "NARROWER",
    "PRUNED",
    "Arm",
    "arms_of",
    "check_recipe",
    "macs_of",
    "narrower",
    "same_compute",
]

NARROWER = "narrower"
PRUNED = "pruned"
_SHAPES = {"edit", "prune", "factorize", ""}
"""Stages of passes that give an architecture; a plain function has none."""


@dataclass(frozen=True, eq=False)
class Arm:
    """One way to a small network.

    Args:
        name: What tables and pictures call it.
        slug: What its variants are called, before the seed.
        shape: Passes that give its architecture.
        epochs: Of training.
        macs: Multiply-accumulates for one example.
        is_fresh: Whether its parameters are drawn anew for each seed.
        same_as: Name of an arm whose runs are this one's, too, as nothing sets them apart.
    """

    name: str
    slug: str
    shape: tuple[Pass, ...]
    epochs: int
    macs: int
    is_fresh: bool = True
    same_as: str = ""

    def start(self, seed: int) -> tuple[Pass, ...]:
        """The passes before training."""
        return (*self.shape, Reinitialize(seed)) if self.is_fresh else self.shape

    def training(self, lesson: Lesson, seed: int) -> Pass:
        """The pass that trains it."""
        teach = lesson.from_scratch if self.is_fresh else lesson.fine_tuning
        return teach(self.epochs, seed)


def check_recipe(passes: Sequence[Pass]) -> None:
    """Refuses a recipe that does more than give a smaller architecture.

    Raises:
        PassError: Names the pass, and says what to do with it.
    """
    for pass_ in passes:
        if stage_of(pass_) == "train":
            raise PassError(
                f"{name_of(pass_)} trains, but compare trains every arm alike; leave it out of the "
                "recipe and say how many epochs"
            )
        if stage_of(pass_) not in _SHAPES:
            raise PassError(
                f"{name_of(pass_)} gives no smaller architecture that could be trained anew; leave "
                "it out of the recipe and apply it to the network that wins"
            )


def arms_of(
    model: Model, passes: Sequence[Pass], epochs: int, original_epochs: int | None = None
) -> tuple[Arm, ...]:
    """The pruned network, and the same drawn anew with two lengths of training.

    Args:
        model: The original.
        passes: What prunes it.
        epochs: Of training after pruning.
        original_epochs: How many the original was trained for, `epochs` where it is not known.

    Raises:
        PassError: A pass fails, or nothing is removed.
        UnsupportedError: A layer does not say how its parameters are drawn.

    Source: Liu et al. 2019, "Rethinking the value of network pruning", section 3, Scratch-E and
    Scratch-B; there is no upper limit to the epochs of the latter here.
    """
    shape = tuple(passes)
    pruned = run(model, shape)
    before, after = macs_of(model), macs_of(pruned)
    if after >= before and _parameters(pruned) >= _parameters(model):
        names = ", ".join(name_of(pass_) for pass_ in shape) or "no pass"
        raise PassError(
            f"the recipe ({names}) removes none of {_parameters(model):,} parameters and "
            f"{before:,} multiply-accumulates, so there is nothing to compare; ask for a higher "
            "ratio"
        )
    run(pruned, [Reinitialize()])  # what cannot be drawn anew is told before any training
    longer = same_compute(before, original_epochs or epochs, after)
    return (
        Arm(PRUNED, "pruned", shape, epochs, after, is_fresh=False),
        Arm("scratch, same epochs", "scratch-epochs", shape, epochs, after),
        Arm("scratch, same compute", "scratch-compute", shape, longer, after),
    )


def narrower(
    model: Model, scratch: Arm, target: Target, epochs: int, original_epochs: int | None = None
) -> Arm:
    """The plain network, as wide as the bytes of the pruned one's file allow, drawn anew.

    It is trained for as many multiplications as `scratch, same compute`; where it is the same
    network, as one pruning ratio for all layers gives it, it is not trained twice.

    Args:
        model: The original.
        scratch: The arm of the pruned architecture, trained with the same compute.
        target: In whose file format bytes are counted.
        epochs: Of training after pruning.
        original_epochs: How many the original was trained for, `epochs` where it is not known.

    Raises:
        LilliputError: No width fits, or the network cannot be made narrower.
    """
    pruned = run(model, scratch.shape)
    limit = file_bytes(pruned, target)
    width = widest(model, limit, lambda narrow: file_bytes(narrow, target))
    narrow = run(model, [width])
    macs = macs_of(narrow)
    longer = same_compute(macs_of(model), original_epochs or epochs, macs)
    is_same = longer == scratch.epochs and _shapes(narrow) == _shapes(pruned)
    return Arm(
        NARROWER, "narrower", (width,), longer, macs, same_as=scratch.name if is_same else ""
    )


def same_compute(before: int, epochs: int, after: int) -> int:
    """Epochs that cost as many multiplications, at least 1.

    Args:
        before: Multiply-accumulates of the network that sets the cost.
        epochs: Of its training.
        after: Multiply-accumulates of the network that is trained instead.
    """
    return max(1, round(epochs * before / max(1, after)))


def macs_of(model: Model) -> int:
    """Multiply-accumulates for one example."""
    return sum(row.macs for row in cost(trace(model)))


def _parameters(model: Model) -> int:
    return sum(parameter.numel() for parameter in model.module.parameters())


def _shapes(model: Model) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in model.module.state_dict().items()}
