"""Weights in few bits while activations stay float: nothing to calibrate."""

from dataclasses import dataclass, field, replace
from typing import ClassVar

from lilliput.core import Granularity, Model, QuantizationRules, Stage
from lilliput.quantize.bits.precision import Precision
from lilliput.quantize.placing.insert import insert
from lilliput.quantize.ranges.calibrate import set_weights
from lilliput.quantize.ranges.observe import MinMax, Observer

__all__ = ["QuantizeWeights"]


@dataclass(frozen=True)
class QuantizeWeights:
    """Makes weights integers, and leaves activations float; BatchNorm is folded first.

    Args:
        rules: What the target's runtime wants, `target.rules`.
        bits: Of weights.
        granularity: Which weights share a scale; None for what the rules say.
        observer: Chooses the ranges; `MeanSquaredError` clips where that costs least.
        precision: Layers with other bits.
    """

    stage: ClassVar[Stage] = "quantize"

    rules: QuantizationRules
    bits: int = 8
    granularity: Granularity | None = None
    observer: Observer = field(default_factory=MinMax)
    precision: Precision = field(default_factory=Precision)

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 8:
            raise ValueError(f"bits of weights must be 2 to 8, got {self.bits}")

    def __call__(self, model: Model, /) -> Model:
        """Gives a captured network whose weights pass quantizers.

        Raises:
            UnsupportedError: The network has no operator whose weights the rules quantize, or no
                layer of a name in `precision`.
            PassError: A weight is NaN or infinite.
        """
        granularity = self.granularity or self.rules.weight.granularity
        weight = replace(self.rules.weight, bits=self.bits, granularity=granularity)
        rules = replace(self.rules, weight=weight)
        inserted = insert(model, rules, self.precision, scheme="weights")
        set_weights(inserted, self.observer)
        return inserted.model
