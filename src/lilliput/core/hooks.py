"""What a technique does while a training pass runs."""

from typing import Protocol, runtime_checkable

from torch import Tensor, nn

__all__ = ["TrainingHook"]


@runtime_checkable
class TrainingHook(Protocol):
    """Given to `FineTune` and `Distill`, which call it; `step` and `epoch` count from 0."""

    def on_step(self, module: nn.Module, step: int, steps: int, /) -> None:
        """Runs after each optimizer step, of `steps` in all."""
        ...

    def on_epoch(self, module: nn.Module, epoch: int, epochs: int, /) -> None:
        """Runs before each epoch, of `epochs` in all."""
        ...

    def penalty(self, module: nn.Module, /) -> Tensor | None:
        """Gives a scalar to add to the loss, or None."""
        ...
