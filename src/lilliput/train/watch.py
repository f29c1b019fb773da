"""An eye on the clock and on the loss."""

import contextlib
import time
from collections.abc import Iterator
from typing import cast

import torch
from lightning_fabric import Fabric
from torch import Tensor

from lilliput.core import PassError

__all__ = ["Watch"]

_SAVE_EVERY_S = 60.0
_MOST_SAVING = 0.05  # share of the time that saving at the end of epochs may take
_WINDOW = 20  # steps between looks where a look makes the device or the other processes wait


class Watch:
    """Knows how long training has run and how it goes, without making the device wait each step.

    Args:
        fabric: Knows the device and the other processes.
    """

    def __init__(self, fabric: Fabric) -> None:
        self.fabric = fabric
        is_cheap = fabric.device.type == "cpu" and fabric.world_size == 1
        self.window = 1 if is_cheap else _WINDOW
        self.seconds = self.shown = self.saving_s = 0.0
        self.began = self.saved = time.monotonic()
        self.losses: list[Tensor] = []

    def start(self) -> None:
        """Lets the clock run on from `seconds`."""
        self.began = time.monotonic() - self.seconds
        self.saved = time.monotonic()

    @contextlib.contextmanager
    def saving(self) -> Iterator[None]:
        """Takes the time of a save."""
        began = time.monotonic()
        yield
        self.saved = time.monotonic()
        self.saving_s = self.saved - began

    @property
    def may_save(self) -> bool:
        """Whether a save now would keep saving below a small share of the time."""
        return time.monotonic() - self.saved >= self.saving_s / _MOST_SAVING

    @property
    def must_save(self) -> bool:
        """Whether the last save is long ago."""
        return time.monotonic() - self.saved >= _SAVE_EVERY_S

    def is_due(self, step: int) -> bool:
        """Whether to look after this many steps."""
        return step % self.window == 0

    def look(self, is_pressed: bool) -> bool:
        """Agrees with the other processes on the time, and whether anyone saw Ctrl-C."""
        self.seconds = time.monotonic() - self.began
        if self.fabric.world_size == 1:
            return is_pressed
        mine = torch.tensor([self.seconds, float(is_pressed)], dtype=torch.float64)
        agreed = cast("Tensor", self.fabric.all_reduce(mine, reduce_op="max"))
        self.seconds = float(agreed[0])
        return bool(agreed[1])

    def add(self, loss: Tensor) -> None:
        """Notes a step's loss for the next look."""
        self.losses.append(loss.detach())

    def check_losses(self, step: int, steps: int, rate: float) -> None:
        """Looks at the losses noted; `step` counts the steps so far.

        Raises:
            PassError: One is not finite.
        """
        if not self.losses:
            return
        values = torch.stack([loss.float() for loss in self.losses]).tolist()
        first = step - len(values)
        self.losses.clear()
        for index, value in enumerate(values, first):
            if value - value != 0:
                raise PassError(
                    f"the loss is {value} at step {index} of {steps} (learning rate {rate:.3g}); "
                    "try a lower learning_rate, Training(clip_norm=1) or "
                    "Training(precision='32-true'), and look for NaN in the inputs"
                )
            self.shown = value if index == 0 else 0.95 * self.shown + 0.05 * value
