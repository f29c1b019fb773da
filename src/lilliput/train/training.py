"""The settings that every training pass shares."""

from dataclasses import dataclass, field

from lilliput.train.optimizers import SGD, Optimizer
from lilliput.train.precision import Precision
from lilliput.train.schedules import Cosine, Schedule

__all__ = ["Training", "check_length"]


@dataclass(frozen=True)
class Training:
    """How to train; how long and how fast are fields of the pass itself.

    Args:
        optimizer: `SGD(...)`, `AdamW(...)` or anything that builds a torch optimizer.
        schedule: `Cosine(...)`, `OneCycle(...)`, `Constant()`, or your own.
        clip_norm: Longer gradients (L2 norm over all parameters) are cut to this length.
        label_smoothing: Share of each label spread over all classes, 0 to 1; class labels only.
        ema_decay: Memory of a running mean of the weights, e.g. 0.999, which replaces the weights
            at the end; None for none.
        precision: `auto` is bf16 with float32 weights where the hardware has it.
        channels_last: Keeps pictures and filters as height, width, channels: faster on CPUs.
        seed: Of shuffling, augmentation and dropout.
        accelerator: `auto`, `cpu`, `cuda` or `mps`. One device; to use several, start the program
            with `torchrun --nproc-per-node COUNT`.
    """

    optimizer: Optimizer = field(default_factory=SGD)
    schedule: Schedule = field(default_factory=Cosine)
    clip_norm: float | None = None
    label_smoothing: float = 0.0
    ema_decay: float | None = None
    precision: Precision = "auto"
    channels_last: bool = True
    seed: int = 0
    accelerator: str = field(default="auto", metadata={"setting": False})

    def __post_init__(self) -> None:
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(
                f"label_smoothing must be at least 0 and less than 1, got {self.label_smoothing}"
            )
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise ValueError(f"clip_norm must be more than 0, got {self.clip_norm}")
        if self.ema_decay is not None and not 0 < self.ema_decay < 1:
            raise ValueError(f"ema_decay must be between 0 and 1, got {self.ema_decay}")


def check_length(epochs: int, learning_rate: float, time_limit_s: float | None) -> None:
    """Refuses a training that would not move.

    Raises:
        ValueError: Names the value.
    """
    if epochs < 1:
        raise ValueError(f"epochs must be 1 or more, got {epochs}")
    if not learning_rate > 0:
        raise ValueError(f"learning_rate must be more than 0, got {learning_rate}")
    if time_limit_s is not None and not time_limit_s > 0:
        raise ValueError(f"time_limit_s must be more than 0, got {time_limit_s}")
