"""Weights as integers of one step for each tensor, chosen by what the outputs lose."""

from dataclasses import dataclass, replace
from typing import ClassVar

from lilliput.core import Model, Note, Stage, Task
from lilliput.core.amounts import bytes_text, short
from lilliput.quantize.coded.budgets import Limit
from lilliput.quantize.coded.coded_weights import CodedWeights, Rounding

__all__ = ["QuantizeCoded"]


@dataclass(frozen=True)
class QuantizeCoded:
    """Makes each weight integers times one step, as few bits in a packed file as a limit allows.

    Frequent integers take few bits there, so nothing is clipped, and a step of its own for each
    tensor does what bits by layer do elsewhere. BatchNorm is folded first. Steps are chosen by how
    far the outputs move when one tensor is rounded; then layer after layer is rounded so that its
    outputs change least, and biases take up what is left of means. The network stays float: its
    weights are multiples of the steps, which `pack` finds.

    Exactly one of the limits is given.

    Args:
        task: Its training inputs are looked at, without labels; outputs are compared on as many
            validation inputs. On inputs that a network has memorised its outputs hardly move, so
            it should not have been trained on these.
        max_distance: Of outputs: KL divergence in nats for class scores, squared error as a share
            of the mean square for others.
        max_drop: How much worse the metric may get on validation, in its own unit.
        max_bytes: Of the packed file, about, by the entropy of all integers.
        samples: How many examples of each split.
        rounding: `nearest`, or `second-order` as `RoundSecondOrder` does, which takes longer.
    """

    stage: ClassVar[Stage] = "quantize"

    task: Task
    max_distance: float | None = None
    max_drop: float | None = None
    max_bytes: int | None = None
    samples: int = 200
    rounding: Rounding = "second-order"

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise ValueError(f"samples must be 1 or more, got {self.samples}")
        given = {"distance": self.max_distance, "drop": self.max_drop, "bytes": self.max_bytes}
        limits = {name: value for name, value in given.items() if value is not None}
        if len(limits) != 1:
            raise ValueError(
                "give one of max_distance, max_drop and max_bytes, got "
                f"{' and '.join(f'max_{name}' for name in limits) or 'none'}"
            )
        for name, value in limits.items():
            if not value > 0:
                raise ValueError(f"max_{name} must be more than 0, got {value}")

    @property
    def limit(self) -> Limit:
        """The one that is given."""
        if self.max_distance is not None:
            return Limit("distance", self.max_distance)
        if self.max_drop is not None:
            return Limit("drop", self.max_drop)
        return Limit("bytes", float(self.max_bytes or 0))

    def __call__(self, model: Model, /) -> Model:
        """Gives a captured network with plain weights, each a multiple of its tensor's step.

        Raises:
            UnsupportedError: The network has no weights to round.
            BudgetError: No steps keep the limit; says the closest.
            TraceError: The network cannot be traced.
            PassError: A weight is NaN or infinite.
        """
        coded = CodedWeights(model, self.task, self.samples, self.rounding)
        found = coded.within(self.limit)
        small = coded.model()
        unit = f"{coded.distance.quantity} {short(found.distance)}"
        if self.max_drop is not None:
            unit += f", drop {short(found.drop)} on validation"
        size = bytes_text(found.size_bytes)
        text = f"QuantizeCoded: about {size} when packed, {unit} on {coded.compared} inputs"
        return replace(small, notes=(*map(_reworded, small.notes), Note(text, is_fallback=False)))


def _reworded(note: Note) -> Note:
    """What has no step is not left as it is here."""
    text = note.text.replace("stays float", "has no step: each of its numbers keeps some 9 bits")
    return replace(note, text=text)
