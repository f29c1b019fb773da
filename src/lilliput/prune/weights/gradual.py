"""Sparsity that grows while the network trains."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor, nn

from lilliput.core import PassError
from lilliput.graph.masks import is_masked, mask_of
from lilliput.prune.weights.allotment import AcrossLayers, Allotment
from lilliput.prune.weights.choose import choose, fitting, magnitudes, settled_sparsity
from lilliput.prune.weights.mask import prunable
from lilliput.prune.weights.patterns import Pattern, Unstructured

__all__ = ["GradualPruning", "Growth"]


@dataclass(frozen=True)
class Growth:
    """When masks are chosen anew while a training runs, and how sparse they are then.

    Source: Zhu and Gupta 2017, "To prune, or not to prune", eq. 1, each time from the sparsity at
    hand, so that a training that was interrupted needs to remember nothing.

    Args:
        start: Share of the training at which sparsity begins to grow.
        end: Share of the training from which on it stays.
        every: Steps between two choices.

    Raises:
        ValueError: Shares are not in order between 0 and 1, or `every` is below 1.
    """

    start: float = 0.0
    end: float = 0.75
    every: int = 50

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end <= 1:
            raise ValueError(
                f"start and end must be in order between 0 and 1, got {self.start} and {self.end}"
            )
        if self.every < 1:
            raise ValueError(f"every must be 1 step or more, got {self.every}")

    def is_due(self, step: int, steps: int) -> bool:
        """Whether masks are chosen anew after a step, counted from 0, of so many in all."""
        done, whole = self._progress(step, steps)
        return 0 < done <= whole and (done % self.every == 0 or done == whole)

    def after(self, step: int, steps: int, now: float, final: float) -> float:
        """The sparsity to reach after a step at which it is due.

        Args:
            step: From 0.
            steps: How many there are.
            now: The sparsity at hand, which the last choice left.
            final: The sparsity at the end.
        """
        done, whole = self._progress(step, steps)
        before = (done - 1) // self.every * self.every
        left = (whole - done) / (whole - before)
        return final - (final - now) * left**3

    def _progress(self, step: int, steps: int) -> tuple[int, int]:
        """How many steps of the growth are done, of how many."""
        first = min(round(self.start * steps), steps - 1)
        last = max(first, min(steps, round(self.end * steps)) - 1)
        return step - first + 1, last - first + 1


@dataclass(frozen=True)
class GradualPruning:
    """A hook: zeroes the smallest weights, more and more of them while the network trains.

    It works on the masks there are, so `PruneWeights(0.0, skip=...)` goes before the training.
    Weights under a mask get no gradient, but keep their value, so those that turn out larger than
    others later on come back. A training that its time limit ends early ends less sparse.

    Source: Zhu and Gupta 2017, "To prune, or not to prune", section 3.

    Args:
        sparsity: At the end, at least 0 and below 1; None for the pattern's own, or 0.5.
        start: Share of the training at which sparsity begins to grow.
        end: Share of the training from which on it stays.
        every: Steps between two choices.
        pattern: Which weights may go together, at the end.
        allotment: How many go where.

    Raises:
        ValueError: A setting is out of range, or the pattern fixes another sparsity.
    """

    needs: ClassVar[str] = "PruneWeights(0.0)"

    sparsity: float | None = None
    start: float = 0.0
    end: float = 0.75
    every: int = 50
    pattern: Pattern = field(default_factory=Unstructured)
    allotment: Allotment = field(default_factory=AcrossLayers)

    def __post_init__(self) -> None:
        settled_sparsity(self.sparsity, self.pattern)
        Growth(self.start, self.end, self.every)

    def on_step(self, module: nn.Module, step: int, steps: int, /) -> None:
        """Chooses masks anew where it is time."""
        growth = Growth(self.start, self.end, self.every)
        if not growth.is_due(step, steps):
            return
        layers = self._layers(module)
        final = settled_sparsity(self.sparsity, self.pattern)
        sparsity = growth.after(step, steps, _masked_share(layers), final)
        choose(module, self._scores(layers), sparsity, self.pattern, self.allotment)

    def on_epoch(self, module: nn.Module, epoch: int, epochs: int, /) -> None:  # noqa: ARG002
        """Checks that there is something to choose from.

        Raises:
            PassError: No layer that can have the pattern has the masks that this hook works on.
        """
        if not self._layers(module):
            raise PassError(
                f"no layer that can have the pattern {self.pattern} has masks for "
                f"{type(self).__name__}; put {self.needs} before the training"
            )

    def penalty(self, _module: nn.Module, /) -> Tensor | None:
        return None

    def _layers(self, module: nn.Module) -> dict[str, nn.Module]:
        """Those whose masks it chooses."""
        masked = {name: layer for name, layer in prunable(module).items() if is_masked(layer)}
        return fitting(masked, self.pattern)

    def _scores(self, layers: Mapping[str, nn.Module]) -> Mapping[str, Tensor]:
        """Of each weight of a layer; the lowest go."""
        return magnitudes(layers, goes_on=False)


def _masked_share(layers: Mapping[str, nn.Module]) -> float:
    """The share of the layers' weights that lie under masks."""
    masks = [mask.mask for mask in map(mask_of, layers.values()) if mask is not None]
    kept = sum(int(mask.sum()) for mask in masks)
    return 1 - kept / max(1, sum(mask.numel() for mask in masks))
