"""Bits layer by layer under a budget: few where the outputs do not mind."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from lilliput.core import BudgetError, Model, QuantizationRules, Stage, Task
from lilliput.quantize.bits.bit_budget import BitBudget
from lilliput.quantize.bits.bit_sensitivity import (
    BitSensitivity,
    bit_sensitivity,
    estimate_bit_sensitivity,
)
from lilliput.quantize.bits.knapsack import Front, front
from lilliput.quantize.bits.precision import Precision
from lilliput.quantize.ranges.observe import MinMax, Observer
from lilliput.quantize.static import QuantizeStatic

__all__ = ["Allotment", "QuantizeMixed", "allot_bits", "bits_front"]


@dataclass(frozen=True)
class Allotment:
    """Bits by layer, and what they come to.

    Args:
        bits: Of each layer's weight.
        loss: The sum of the layers' losses.
        cost: In the budget's unit.
        average_bits: Of a weight in the mean.
        weight_bytes: Of the weights in the file, where few widths can be stored.
    """

    bits: Mapping[str, int]
    loss: float
    cost: float
    average_bits: float
    weight_bytes: int

    @property
    def precision(self) -> Precision:
        """For `QuantizeStatic` and `QuantizeAware`."""
        return Precision(weights=dict(self.bits))


def allot_bits(sensitivity: BitSensitivity, budget: BitBudget) -> Allotment:
    """The bits of least summed loss within a budget.

    Losses are taken to add up, as those of small errors that do not know of one another do.

    Args:
        sensitivity: As `bit_sensitivity` gives it.
        budget: `AverageBits`, `WeightBytes`, `RamBytes` or `LayerCosts`.

    Raises:
        BudgetError: Even the cheapest bits cost more; says how much they cost.
        UnsupportedError: The budget names a layer that there is not.

    Source: Dong et al. 2020, "HAWQ-V2", section 3.3, solved exactly.
    """
    found, costs = _solved(sensitivity, budget)
    return _allotment(sensitivity, costs, found, _within(found, budget, budget.limit))


def bits_front(sensitivity: BitSensitivity, budget: BitBudget, points: int = 20) -> list[Allotment]:
    """The best allotments from the cheapest up to a budget, no two of them alike.

    Args:
        sensitivity: As `bit_sensitivity` gives it.
        budget: The dearest.
        points: At how many costs in between to look, both ends included.

    Raises:
        ValueError: `points` is less than 2.
        BudgetError: Even the cheapest bits cost more.
    """
    if points < 2:
        raise ValueError(f"points must be 2 or more, got {points}")
    found, costs = _solved(sensitivity, budget)
    last = _within(found, budget, budget.limit)
    low, high = float(found.costs[0]), float(found.costs[last])
    limits = [low + (high - low) * step / (points - 1) for step in range(points)]
    chosen = dict.fromkeys(_within(found, budget, limit) for limit in limits)
    return [_allotment(sensitivity, costs, found, choice) for choice in chosen]


def _solved(
    sensitivity: BitSensitivity, budget: BitBudget
) -> tuple[Front, dict[str, dict[int, float]]]:
    costs = budget.costs(sensitivity)
    losses = [[sensitivity.losses[layer][bits] for bits in own] for layer, own in costs.items()]
    return front([list(own.values()) for own in costs.values()], losses), costs


def _within(found: Front, budget: BitBudget, limit: int | float) -> int:
    choice = found.within(limit)
    if choice is None:
        raise BudgetError(
            f"no bits keep within {budget.limit:,}: the fewest of all come to "
            f"{found.costs[0]:,.6g}; allow that much, or offer fewer bits"
        )
    return choice


def _allotment(
    sensitivity: BitSensitivity, costs: Mapping[str, Mapping[int, float]], found: Front, choice: int
) -> Allotment:
    options = found.options(choice)
    bits = {
        layer: list(own)[option]
        for (layer, own), option in zip(costs.items(), options, strict=True)
    }
    return Allotment(
        bits=bits,
        loss=float(found.losses[choice]),
        cost=float(found.costs[choice]),
        average_bits=sensitivity.average_bits(bits),
        weight_bytes=sensitivity.weight_bytes(bits) + sensitivity.fixed_bytes,
    )


@dataclass(frozen=True)
class QuantizeMixed:
    """`QuantizeStatic` with each layer's bits chosen under a budget, from what they cost.

    `RoundSecondOrder` is to come after it: losses are measured with its rounding.

    Args:
        rules: What the target's runtime wants, `target.rules`.
        task: Its training inputs are calibrated on, and outputs are compared on its validation
            inputs, without labels.
        budget: `AverageBits`, `WeightBytes`, `RamBytes` or `LayerCosts`.
        bits: Widths to choose from.
        observer: Chooses the ranges.
        samples: How many examples to calibrate on.
        compared: How many examples to compare outputs on.
        is_estimate: Takes the second-order estimate of the losses instead of measuring them.
    """

    stage: ClassVar[Stage] = "quantize"

    rules: QuantizationRules
    task: Task
    budget: BitBudget
    bits: tuple[int, ...] = (8, 4, 3, 2)
    observer: Observer = field(default_factory=MinMax)
    samples: int = 512
    compared: int = 256
    is_estimate: bool = False

    def __post_init__(self) -> None:
        if not self.bits or not all(2 <= width <= 16 for width in self.bits):
            raise ValueError(f"bits must be widths of 2 to 16, got {self.bits}")
        for name in ("samples", "compared"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}")

    def __call__(self, model: Model, /) -> Model:
        """Gives a captured network whose quantizers act.

        Raises:
            BudgetError: No bits keep within the budget.
            UnsupportedError: The network has no operator that the rules quantize, or no layer of a
                name in the budget.
            PassError: An activation is NaN or infinite.
        """
        look = estimate_bit_sensitivity if self.is_estimate else bit_sensitivity
        found = look(model, self.task, self.rules, self.bits, self.compared)
        precision = allot_bits(found, self.budget).precision
        static = QuantizeStatic(self.rules, self.task, self.observer, self.samples, precision)
        return static(model)
