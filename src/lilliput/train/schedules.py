"""How the learning rate changes from the start of training to its end."""

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

__all__ = ["Constant", "Cosine", "OneCycle", "Schedule"]


@runtime_checkable
class Schedule(Protocol):
    """What the learning rate is multiplied with. No state: resuming needs only the position."""

    def factor(self, progress: float, /) -> float:
        """Gives the factor, 0 to 1, at a share of the training, 0 (start) to 1 (end)."""
        ...


@dataclass(frozen=True)
class Constant:
    """The same learning rate throughout."""

    def factor(self, progress: float, /) -> float:  # noqa: ARG002
        """Always 1."""
        return 1.0


@dataclass(frozen=True)
class Cosine:
    """Half a cosine from the full learning rate to zero.

    Args:
        warmup: Share of the training, 0 to 1, in which it first rises in a line from zero.

    Source: Loshchilov and Hutter 2017, eq. 5, without restarts; the rise: Goyal et al. 2017.
    """

    warmup: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.warmup < 1:
            raise ValueError(f"warmup must be at least 0 and less than 1, got {self.warmup}")

    def factor(self, progress: float, /) -> float:
        """The factor at a share of the training."""
        if progress < self.warmup:
            return progress / self.warmup
        return _fall((progress - self.warmup) / (1 - self.warmup))


@dataclass(frozen=True)
class OneCycle:
    """Rises along half a cosine to the full learning rate, then falls along another.

    Args:
        rise: Share of the training, 0 to 1, spent rising.
        start: Factor at the start.
        end: Factor at the end.

    Source: Smith and Topin 2018; the figures are those of `torch.optim.lr_scheduler.OneCycleLR`.
    """

    rise: float = 0.3
    start: float = 1 / 25
    end: float = 1 / 25 / 1e4

    def __post_init__(self) -> None:
        if not 0 < self.rise < 1:
            raise ValueError(f"rise must be between 0 and 1, got {self.rise}")

    def factor(self, progress: float, /) -> float:
        """The factor at a share of the training."""
        if progress < self.rise:
            return 1 - (1 - self.start) * _fall(progress / self.rise)
        return self.end + (1 - self.end) * _fall((progress - self.rise) / (1 - self.rise))


def _fall(share: float) -> float:
    """Half a cosine, from 1 at 0 to 0 at 1."""
    return (1 + math.cos(math.pi * min(1.0, share))) / 2
