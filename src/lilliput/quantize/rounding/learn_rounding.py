"""Rounding learned layer by layer: AdaRound, on what the layers read."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from lilliput.core import Model, Stage, Task
from lilliput.core.progress import track
from lilliput.graph import filters
from lilliput.quantize.beside.lockstep import Lockstep, alone, small_batches, weighted
from lilliput.quantize.numbers.grid import Grid
from lilliput.quantize.rounding.gram import is_linear
from lilliput.quantize.rounding.least_squares import LeastSquares
from lilliput.quantize.rounding.soft_rounding import SoftRounding, pressure

__all__ = ["LearnRounding"]

Filters = Shaped[Tensor, "groups each fan"]
_TINY = 1e-20


@dataclass(frozen=True)
class LearnRounding:
    """Learns for each weight of a quantized network whether to round it up or down.

    Layer after layer, so that the layer's outputs before its activation come nearest to the float
    network's, given what the quantized network reads there. Those errors follow from sums of
    products of what is read, so a step costs no run of the network. Codes move by one at most from
    what they are: it may follow `QuantizeStatic` alone or another rounding. A filter that is no
    better afterwards keeps its codes. Scales stay; biases take up what is left of means. Transposed
    convolutions, and layers that run more than once, stay as they are.

    Source: Nagel et al. 2020, "Up or Down? Adaptive Rounding for Post-Training Quantization", eq.
    21 to 25, without the activation of eq. 25.

    Args:
        task: Its training inputs are looked at, without labels.
        samples: How many examples. What one layer reads of them, in both networks, is held in
            memory.
        steps: Of the optimizer, for each layer.
        learning_rate: Of the optimizer (Adam).
        strength: Factor of the penalty of codes between integers.
        damping: Share of the mean of the squares of what a layer reads that is added to each, so
            that directions that the examples do not show stay as they were.
    """

    stage: ClassVar[Stage] = "reconstruct"

    task: Task
    samples: int = 512
    steps: int = 1000
    learning_rate: float = 0.05
    strength: float = 1.0
    damping: float = 0.01

    def __post_init__(self) -> None:
        for name in ("samples", "steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}")
        for name in ("learning_rate", "strength", "damping"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be more than 0, got {getattr(self, name)}")

    def __call__(self, model: Model, /) -> Model:
        """Gives the network with other weights and biases, its weights on the quantizers' grids.

        Raises:
            PassError: The network has no quantizers.
        """
        walk = Lockstep(model.module, small_batches(self.task.calibration(self.samples)))
        once, count = alone(walk.module), len(weighted(walk.module))
        for place in track(walk.walk(), "learned rounding", count):
            # one that runs twice, or that others read, has one weight for all of them
            if is_linear(place) and place.node in once:
                problem = LeastSquares.of(place, self.damping)
                problem.set(self._learned(problem))
        return model

    def _learned(self, problem: LeastSquares) -> Filters:
        """The weights that were learned, or those of before where they are better."""
        grid = problem.grid()
        start = grid.codes(filters(problem.place.weight.float(), len(problem.best)))
        with torch.enable_grad():
            learned = self._learn(problem, grid, start)
        return problem.least([grid.real(start), grid.real(learned)])

    def _learn(
        self, problem: LeastSquares, grid: Grid, start: Int[Tensor, "groups each fan"]
    ) -> Int[Tensor, "groups each fan"]:
        soft = SoftRounding(problem.best / grid.scale + grid.zero_point, start, grid.kind)
        optimizer = torch.optim.Adam(soft.parameters(), self.learning_rate)
        weighed = _weighed(problem, grid.real(start))
        for step in range(self.steps):
            optimizer.zero_grad()
            real = grid.real(soft())
            # half of it is missing in the derivative of each of the two factors
            slope = 2 * ((real.detach() - problem.best) @ problem.metric) * weighed
            pushed = pressure(step / self.steps)
            if pushed is None:
                real.backward(slope)
            else:
                weight, power = pushed
                penalty = self.strength * weight * soft.penalty(power).sum()
                torch.autograd.backward([real, penalty], [slope, None])
            optimizer.step()
        return soft.rounded()


def _weighed(problem: LeastSquares, start: Filters) -> Float[Tensor, "groups each one"]:
    """What makes the error of each filter begin at 1 for each of its weights."""
    cost = problem.cost(start)[..., None]
    return start.shape[-1] / cost.clamp_min(_TINY)
