"""Quantization after training: ranges from a few examples, no labels."""

from dataclasses import dataclass, field
from typing import ClassVar

from lilliput.core import Model, QuantizationRules, Stage, Task
from lilliput.quantize.bits.precision import Precision
from lilliput.quantize.placing.insert import insert
from lilliput.quantize.ranges.calibrate import calibrate
from lilliput.quantize.ranges.observe import MinMax, Observer

__all__ = ["QuantizeStatic"]


@dataclass(frozen=True)
class QuantizeStatic:
    """Makes weights and activations integers of fixed scale; BatchNorm is folded first.

    Args:
        rules: What the target's runtime wants, `target.rules`.
        task: Its training inputs are calibrated on.
        observer: Chooses the ranges.
        samples: How many examples to calibrate on.
        precision: Layers with other bits than the rules say.
    """

    stage: ClassVar[Stage] = "quantize"

    rules: QuantizationRules
    task: Task
    observer: Observer = field(default_factory=MinMax)
    samples: int = 512
    precision: Precision = field(default_factory=Precision)

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise ValueError(f"samples must be 1 or more, got {self.samples}")

    def __call__(self, model: Model, /) -> Model:
        """Gives a captured network whose quantizers act.

        Raises:
            UnsupportedError: The network has no operator that the rules quantize, or no layer of a
            name in `precision`.
            PassError: An activation is NaN or infinite.
        """
        inserted = insert(model, self.rules, self.precision)
        calibrate(inserted, self.task, self.observer, self.samples)
        return inserted.model
