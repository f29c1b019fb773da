"""What a technique does while a training pass runs."""

from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

__all__ = ["StatefulHook", "TrainingHook"]


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


@runtime_checkable
class StatefulHook(TrainingHook, Protocol):
    """One that knows more than the module does, which checkpoints then have too."""

    def state_dict(self) -> dict[str, Any]:
        """What it knows, as numbers, texts and tensors in dicts and lists."""
        ...

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        """Knows what another knew; called after `on_epoch` where training goes on."""
        ...
