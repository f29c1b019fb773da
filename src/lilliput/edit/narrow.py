"""The same architecture with fewer channels everywhere, and any architecture drawn anew.

Source: Howard et al. 2017, "MobileNets", section 3.3: the width multiplier.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.nn.utils import parametrize

from lilliput.core import Model, Stage, UnsupportedError
from lilliput.graph import channel_groups, is_captured, remove_channels, trace

__all__ = ["Narrow", "Reinitialize"]


@dataclass(frozen=True)
class Narrow:
    """Keeps a share of the channels of every group.

    Where the network becomes a graph, layers are drawn at their new width; parameters that modules
    around them hold are drawn by these at the old one, and the first channels stay.

    Args:
        alpha: Share that is kept, above 0 to 1.
        multiple_of: Widths are rounded up to a multiple of this, and never above what they were.
        seed: Of the new parameters.
        is_fresh: Draw all parameters anew, for training from scratch; else the first channels
            keep theirs.
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
        """Gives the narrower model.

        Raises:
            UnsupportedError: Parameters are to be drawn anew, and a module does not say how.
            TraceError: The network cannot be traced.
        """
        found = channel_groups(trace(model))
        drop = {
            group.name: list(range(self._kept(group.size), group.size))
            for group in found
            if group.kind == "channels" and self._kept(group.size) < group.size
        }
        narrow = remove_channels(model, drop, found) if drop else model
        if not self.is_fresh:
            return narrow
        if is_captured(model.module) or not is_captured(narrow.module):
            _draw(narrow.module, self.seed)
            return narrow
        _draw(model.module, self.seed)  # a graph has lost the code by which its modules do so
        narrow = remove_channels(model, drop, found)
        _reset(narrow.module, self.seed)
        return narrow

    def _kept(self, size: int) -> int:
        # what float error adds to a whole number is no channel
        wanted = math.ceil(self.alpha * size - 1e-9)
        return min(size, math.ceil(wanted / self.multiple_of) * self.multiple_of)


@dataclass(frozen=True)
class Reinitialize:
    """Draws all parameters anew, as PyTorch does when a network is made.

    Args:
        seed: Of the new parameters.
    """

    seed: int = 0
    stage: ClassVar[Stage] = "edit"

    def __call__(self, model: Model, /) -> Model:
        """Gives the untrained model.

        Raises:
            UnsupportedError: A module holds parameters and does not say how to draw them.
        """
        _draw(model.module, self.seed)
        return model


def _draw(module: nn.Module, seed: int) -> None:
    """Calls each module's `reset_parameters`, which PyTorch's own layers have.

    Raises:
        UnsupportedError: A module holds parameters and does not say how to draw them.
    """
    way_out = (
        "the network became a graph, which has lost the code that draws; draw first, by "
        "Reinitialize() before the pass that made it a graph"
        if is_captured(module)
        else "give it a method reset_parameters that fills its own parameters"
    )
    for name, part in module.named_modules():
        holds = any(True for _ in part.parameters(recurse=False))
        if parametrize.is_parametrized(part) or (holds and _reset_of(part) is None):
            raise UnsupportedError(
                f"{name or 'the network itself'} ({type(part).__name__}) cannot be drawn anew; "
                f"{way_out}"
            )
    _reset(module, seed)


def _reset(module: nn.Module, seed: int) -> None:
    """Draws what modules say how to draw; the rest stays."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for part in module.modules():
            reset = _reset_of(part)
            if reset is not None:
                reset()
            for name in ("output_mean", "output_deviation"):  # as a folded BatchNorm left them
                part._buffers.pop(name, None)  # noqa: SLF001


def _reset_of(part: nn.Module) -> Callable[[], None] | None:
    if isinstance(part, nn.MultiheadAttention):
        return part._reset_parameters  # noqa: SLF001  the one layer that hides it
    reset: Callable[[], None] | None = getattr(part, "reset_parameters", None)
    return reset
