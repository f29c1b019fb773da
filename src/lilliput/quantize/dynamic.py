"""Weights as integers of fixed scale, activations as integers of the range at hand."""

from dataclasses import dataclass, field, replace
from typing import ClassVar

from lilliput.core import Granularity, Model, QuantizationRules, Stage
from lilliput.quantize.bits.precision import Precision
from lilliput.quantize.placing.insert import insert
from lilliput.quantize.ranges.calibrate import set_weights
from lilliput.quantize.ranges.observe import MinMax, Observer

__all__ = ["QuantizeDynamic"]


@dataclass(frozen=True)
class QuantizeDynamic:
    """Makes weights integers, and what they are multiplied with too, at run time.

    Nothing is calibrated: each tensor has the range that it has. It suits networks of linear
    layers, whose activations have outliers that a fixed range would have to cover.

    Args:
        rules: What the target's runtime wants, `target.rules`.
        bits: Of weights.
        granularity: Which weights share a scale; None for what the rules say.
        observer: Chooses the weights' ranges.
        precision: Layers with other bits, or float.

    Source: the ONNX operator specification of DynamicQuantizeLinear.
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
        """Gives a captured network whose weights pass quantizers, as does what they multiply.

        Raises:
            UnsupportedError: The network has no operator that the runtime computes like that, or no
                layer of a name in `precision`.
            PassError: A weight is NaN or infinite.
        """
        granularity = self.granularity or self.rules.weight.granularity
        weight = replace(self.rules.weight, bits=self.bits, granularity=granularity)
        rules = replace(self.rules, weight=weight)
        inserted = insert(model, rules, self.precision, scheme="dynamic")
        set_weights(inserted, self.observer)
        return inserted.model
