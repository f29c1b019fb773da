"""Rounding learned block by block, so that the block's output is right rather than each layer's."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.fx import Node

from lilliput.core import Model, PassError, Stage, Task
from lilliput.core.progress import track
from lilliput.quantize.beside.distance import distance_of
from lilliput.quantize.beside.lockstep import Lockstep, Stretch, alone, small_batches, weighted
from lilliput.quantize.beside.replay import constants
from lilliput.quantize.placing.insert import layer_of
from lilliput.quantize.rounding.fisher import fisher_weights
from lilliput.quantize.rounding.soft_rounding import pressure
from lilliput.quantize.rounding.soft_unit import SoftUnit
from lilliput.quantize.rounding.units import find_units

__all__ = ["ReconstructBlocks"]

_SLOW = 0.01
"""Biases and steps are moved by shares of what they are; roundings go all the way."""


@dataclass(frozen=True)
class ReconstructBlocks:
    """Learns the rounding of all weights of a block together, with biases and activations' steps.

    Block after block, so that what the block gives, activation included, comes nearest to what it
    gives in the float network, though it reads what the quantized network has there. A block is a
    part of the graph with one way in and one way out, such as a residual block; layers between
    blocks are joined in rows of up to half of `most_layers`. Codes move by one at most from what
    they are: best after `RoundSecondOrder` or `LearnRounding`. A block that is no better afterwards
    stays as it was. Layers that run more than once stay too.

    Errors count by how much the network's outputs mind them where the block ends.

    Source: Li et al. 2021, "BRECQ: Pushing the Limit of Post-Training Quantization by Block
    Reconstruction", algorithm 1 and eq. 10; rounding: Nagel et al. 2020, eq. 22 to 24.

    Args:
        task: Its training inputs are looked at, and of its validation labels what kind they are.
        samples: How many examples. What one block reads and gives of them is held in memory.
        steps: Of the optimizer, for each block.
        batch: Examples in a step.
        learning_rate: Of the roundings (Adam); biases and steps learn a hundredth as fast.
        strength: Factor of the penalty of codes between integers.
        learns_steps: Also the steps of activations inside the block, for activations of few bits.
        most_layers: A block with more layers is taken apart.
        is_weighed: Whether errors count by the diagonal of the Fisher matrix, or all alike.
        seed: Of the order in which examples come.
    """

    stage: ClassVar[Stage] = "reconstruct"

    task: Task
    samples: int = 256
    steps: int = 300
    batch: int = 16
    learning_rate: float = 0.1
    strength: float = 1.0
    learns_steps: bool = False
    most_layers: int = 6
    is_weighed: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("samples", "steps", "batch", "most_layers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}")
        for name in ("learning_rate", "strength"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be more than 0, got {getattr(self, name)}")

    def __call__(self, model: Model, /) -> Model:
        """Gives the network with other weights and biases, its weights on the quantizers' grids.

        Raises:
            PassError: The network has no quantizers, or gives NaN or infinite values.
        """
        walk = Lockstep(
            model.module, small_batches(self.task.calibration(self.samples), self.batch)
        )
        layers = [node for node, _ in weighted(walk.module)]
        once = alone(walk.module)
        graph = walk.module.graph
        units = find_units(graph, layers, constants(walk.module), self.most_layers)
        exits = [unit.exit for unit in units if self.is_weighed]
        weights: dict[Node, Tensor] = {}
        if exits:
            distance = distance_of(model, self.task)
            weights = fisher_weights(walk.module, walk.batches, exits, distance)
        order = torch.Generator().manual_seed(self.seed)
        for stretch in track(walk.walk_units(units), "block reconstruction", len(units)):
            free = [node for node in stretch.unit.layers if node in once]
            if free:
                error = _Error(stretch, weights.get(stretch.unit.exit, torch.ones(())))
                self._reconstruct(walk, error, free, order)
        return model

    def _reconstruct(
        self, walk: Lockstep, error: "_Error", free: Sequence[Node], order: torch.Generator
    ) -> None:
        """Learns one unit, and keeps it where it is better."""
        unit = SoftUnit(walk.module, error.stretch.unit, free, self.learns_steps)
        before = error.of(unit)
        if not math.isfinite(before):
            raise PassError(f"{layer_of(free[0])!r} gives NaN or infinite values on the examples")
        if not before:
            return
        with torch.enable_grad():
            self._learn(unit, error, before, order)
        unit.commit()
        if not error.of(unit) < before:
            unit.restore()

    def _learn(
        self, unit: SoftUnit, error: "_Error", before: float, order: torch.Generator
    ) -> None:
        slow = [*unit.offsets, *unit.growths]
        groups = [
            {"params": list(unit.roundings.parameters()), "lr": self.learning_rate},
            {"params": slow, "lr": self.learning_rate * _SLOW},
        ]
        optimizer = torch.optim.Adam([group for group in groups if group["params"]])
        batches: list[int] = []
        for step in range(self.steps):
            if not batches:
                batches = torch.randperm(len(error.stretch.wanted), generator=order).tolist()
            batch = batches.pop()
            loss = error.mean(unit, batch) / before
            pushed = pressure(step / self.steps)
            if pushed is not None:
                weight, power = pushed
                loss = loss + self.strength * weight * unit.penalty(power)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


@dataclass(frozen=True, eq=False)
class _Error:
    """The squared error of a unit's output.

    Args:
        stretch: What the unit reads, and what it is to give.
        weight: Of each number that it gives for one example.
    """

    stretch: Stretch
    weight: Tensor

    def mean(self, unit: SoftUnit, batch: int) -> Tensor:
        """Over one batch."""
        given: Tensor = unit([read[batch] for read in self.stretch.reads])
        return ((given - self.stretch.wanted[batch]).square() * self.weight).mean()

    @torch.no_grad()
    def of(self, unit: SoftUnit) -> float:
        """Over all examples, with the unit as the network has it."""
        unit.is_soft = False
        sizes = [wanted.numel() for wanted in self.stretch.wanted]
        means = [float(self.mean(unit, batch)) for batch in range(len(sizes))]
        unit.is_soft = True
        return sum(mean * size for mean, size in zip(means, sizes, strict=True)) / max(
            1, sum(sizes)
        )
