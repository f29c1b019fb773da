"""Quantization while training: the same quantizers, which go on following what they see."""

from dataclasses import dataclass, field
from typing import ClassVar

from lilliput.core import Model, QuantizationRules, Stage, Task
from lilliput.quantize.bits.precision import Precision
from lilliput.quantize.numbers.fake import quantizers
from lilliput.quantize.placing.insert import insert
from lilliput.quantize.ranges.calibrate import calibrate
from lilliput.quantize.ranges.observe import MinMax, Observer

__all__ = ["QuantizeAware"]


@dataclass(frozen=True)
class QuantizeAware:
    """Inserts quantizers for `FineTune` or `Distill` to train with; BatchNorm is folded first.

    While training, the range of a weight is that of its rows at each step; the range of an
    activation widens at once to what passes, and narrows slowly. In eval mode activations' ranges
    stay.

    Args:
        rules: What the target's runtime wants, `target.rules`.
        task: Its training inputs are calibrated on.
        observer: Chooses the ranges to begin with.
        samples: How many examples to calibrate on.
        precision: Layers with other bits than the rules say.
        momentum: Share of the way that an activation's range narrows towards that of each batch;
            0 only widens it.
        learns_scales: Steps are parameters that training moves, from where calibration put them,
            instead of following what passes: for few bits. Steps that are powers of two follow.

    Source: Jacob et al. 2018, section 3.1; learned steps: Esser et al. 2020, "Learned Step Size
    Quantization".
    """

    stage: ClassVar[Stage] = "quantize"

    rules: QuantizationRules
    task: Task
    observer: Observer = field(default_factory=MinMax)
    samples: int = 512
    precision: Precision = field(default_factory=Precision)
    momentum: float = 0.01
    learns_scales: bool = False

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise ValueError(f"samples must be 1 or more, got {self.samples}")
        if not 0 <= self.momentum <= 1:
            raise ValueError(f"momentum must be 0 to 1, got {self.momentum}")

    def __call__(self, model: Model, /) -> Model:
        """Gives a captured network whose quantizers act and follow.

        Raises:
            UnsupportedError: The network has no operator that the rules quantize, or no layer of a
            name in `precision`.
            PassError: An activation is NaN or infinite.
        """
        inserted = insert(model, self.rules, self.precision, self.momentum)
        calibrate(inserted, self.task, self.observer, self.samples)
        if self.learns_scales:
            for quantizer in quantizers(inserted.model.module).values():
                if not quantizer.type.is_power_of_two:
                    quantizer.learn()
        return inserted.model
