"""What the training loop is asked to do."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from lilliput.core import Task, TrainingHook
from lilliput.train.checkpoint import CheckpointFolder
from lilliput.train.mixing import Mixing
from lilliput.train.training import Training

__all__ = ["Job"]


@dataclass(frozen=True, eq=False)
class Job:
    """What is to be trained, towards what, and for how long.

    Args:
        verb: Shown with the progress.
        module: The network whose weights are wanted.
        learner: What is run and trained: the network, or a module around it that also trains
            helpers which are thrown away.
        loss: Maps `(outputs, inputs, labels)` of the learner to a scalar.
        task: Where batches come from.
        epochs: Passes over the data.
        learning_rate: At its highest.
        training: Everything else.
        mixing: What inputs become before the learner sees them; None to leave them.
        hooks: Called as `TrainingHook` says, with `module`.
        time_limit_s: Training ends after so many seconds, the learning rate having run through
            its whole schedule; None for no limit.
        checkpoint: Where the state is kept; None to keep none.
    """

    verb: str
    module: nn.Module
    learner: nn.Module
    loss: Callable[[Any, tuple[Tensor, ...], Any], Tensor]
    task: Task
    epochs: int
    learning_rate: float
    training: Training
    mixing: Mixing | None = None
    hooks: tuple[TrainingHook, ...] = ()
    time_limit_s: float | None = None
    checkpoint: CheckpointFolder | None = None
