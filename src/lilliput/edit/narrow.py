"""The same network drawn anew, and a narrower one: what a network made smaller is compared with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from lilliput.core import Model, Stage
from lilliput.graph import channel_groups, remove_channels, trace

__all__ = ["Narrow", "Reinitialize"]


@dataclass(frozen=True)
class Reinitialize:
    """Draws every parameter anew, as before any training.

    Layers draw their own, with the fan-in that they now have. A parameter that no layer draws comes
    from a normal distribution of its own mean and spread.

    Args:
        seed: Of the random numbers.
    """

    seed: int = 0
    stage: ClassVar[Stage] = "edit"

    def __call__(self, model: Model, /) -> Model:
        before = {name: (p, p.detach().clone()) for name, p in model.module.named_parameters()}
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(self.seed)
            for layer in model.module.modules():
                _draw(layer)
            _draw_others(before)
        return model


@dataclass(frozen=True)
class Narrow:
    """Keeps the first share of the channels of every group: the width multiplier.

    Source: Howard et al. 2017, "MobileNets", section 3.3.

    Args:
        alpha: Share of each group's channels that stays, above 0 and at most 1; one at least.
        multiple_of: Widths are rounded to a multiple of this where the group has as many.
        seed: Of the fresh parameters.
        is_fresh: Draw parameters anew; else those of the channels that stay are kept.
    """

    alpha: float = 0.5
    multiple_of: int = 1
    seed: int = 0
    is_fresh: bool = True
    stage: ClassVar[Stage] = "edit"

    def __post_init__(self) -> None:
        if not 0 < self.alpha <= 1:
            raise ValueError(f"alpha must be above 0 and at most 1, got {self.alpha}")
        if self.multiple_of < 1:
            raise ValueError(f"multiple_of must be 1 or more, got {self.multiple_of}")

    def __call__(self, model: Model, /) -> Model:
        found = channel_groups(trace(model))
        widths = {group.name: group.size for group in found if group.kind == "channels"}
        drop = {name: list(range(self._width(size), size)) for name, size in widths.items()}
        drop = {name: units for name, units in drop.items() if units}
        narrow = remove_channels(model, drop, found) if drop else model
        return Reinitialize(self.seed)(narrow) if self.is_fresh else narrow

    def _width(self, size: int) -> int:
        steps = max(1, round(self.alpha * size / self.multiple_of))
        return min(size, steps * self.multiple_of)


def _draw(layer: nn.Module) -> None:
    """Calls what a layer initializes itself with, if it has such a thing."""
    if isinstance(layer, nn.MultiheadAttention):
        layer._reset_parameters()  # noqa: SLF001
        return
    reset = getattr(layer, "reset_parameters", None)
    if callable(reset):
        reset()


def _draw_others(before: Mapping[str, tuple[Tensor, Tensor]]) -> None:
    for parameter, trained in before.values():
        is_constant = bool((trained == trained.flatten()[0]).all())
        if torch.equal(parameter, trained) and not is_constant:
            parameter.normal_(float(trained.mean()), float(trained.std()))
