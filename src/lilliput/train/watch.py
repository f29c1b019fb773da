"""An eye on the clock and on the loss."""

import contextlib
import math
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
        self.seconds = self.saving_s = 0.0
        self.shown: float | None = None
        self.must_save = False
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
        self.must_save = False

    def may_save(self) -> bool:
        """Agrees whether a save now would keep saving below a small share of the time."""
        (may_save,) = self._largest(float(self._has_passed(self.saving_s / _MOST_SAVING)))
        return bool(may_save)

    def is_due(self, step: int) -> bool:
        """Whether to look after this many steps."""
        return step % self.window == 0

    def look(self, is_pressed: bool) -> bool:
        """Agrees with the others on the time, on saving, and whether anyone saw Ctrl-C."""
        seconds, is_late = time.monotonic() - self.began, self._has_passed(_SAVE_EVERY_S)
        self.seconds, pressed, must_save = self._largest(seconds, float(is_pressed), float(is_late))
        self.must_save = bool(must_save)
        return bool(pressed)

    def _has_passed(self, seconds: float) -> bool:
        """Whether the last save is so long ago; only the process that saves has a say."""
        return self.fabric.is_global_zero and time.monotonic() - self.saved >= seconds

    def _largest(self, *mine: float) -> list[float]:
        """The largest of each value over all processes; each must ask, or the others wait."""
        if self.fabric.world_size == 1:
            return list(mine)
        values = torch.tensor(mine, dtype=torch.float64)
        agreed = cast("Tensor", self.fabric.all_reduce(values, reduce_op="max"))
        return [float(value) for value in agreed]

    def add(self, loss: Tensor) -> None:
        """Notes a step's loss for the next look."""
        self.losses.append(loss.detach())

    def check_losses(self, step: int, steps: int, rate: float) -> None:
        """Looks at the losses noted; `step` counts the steps so far.

        All processes look after the same steps, and fail together: one that failed alone would
        leave the others waiting for its gradients.

        Raises:
            PassError: One is not finite, here or in another process.
        """
        if not self.losses:
            return
        values = torch.stack([loss.float() for loss in self.losses]).tolist()
        first = step - len(values)
        self.losses.clear()
        wrong = next((i for i, value in enumerate(values) if not math.isfinite(value)), None)
        (is_wrong,) = self._largest(float(wrong is not None))
        if is_wrong:
            found = f"of another process is not finite by step {step - 1}"
            if wrong is not None:
                found = f"is {values[wrong]} at step {first + wrong}"
            raise PassError(
                f"the loss {found} of {steps} (learning rate {rate:.3g}); "
                "try a lower learning_rate, Training(clip_norm=1) or "
                "Training(precision='32-true'), and look for NaN in the inputs"
            )
        for value in values:
            self.shown = value if self.shown is None else 0.95 * self.shown + 0.05 * value
