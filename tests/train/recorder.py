"""A hook that notes what training does, and can stop it."""

from torch import nn


class Recorder:
    """Counts steps, and fails at one of them."""

    def __init__(self, fails_at: int = -1) -> None:
        self.fails_at = fails_at
        self.steps: list[int] = []

    def on_step(self, module: nn.Module, step: int, steps: int, /) -> None:
        self.steps.append(step)
        if step == self.fails_at:
            raise RuntimeError("died")

    def on_epoch(self, module: nn.Module, epoch: int, epochs: int, /) -> None: ...

    def penalty(self, module: nn.Module, /) -> None: ...
