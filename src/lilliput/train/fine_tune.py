"""Plain training, to recover what compression cost."""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from lilliput.core import Model, Stage, Task, TrainingHook
from lilliput.core.passes import settings
from lilliput.train.losses import hard_loss
from lilliput.train.training import Training, check_length

__all__ = ["FineTune"]


@dataclass(frozen=True)
class FineTune:
    """Trains every parameter that requires a gradient on the task's own loss.

    Args:
        task: What to train on.
        epochs: Passes over `task.train`.
        learning_rate: At its highest, in parameter units per unit gradient.
        training: Optimizer, schedule, precision and all else.
        hooks: What other techniques do meanwhile. An epoch that a resume goes on with is announced
            to them again.
        time_limit_s: Ends training early; the learning rate then falls with the time instead.
        checkpoint: A folder to resume from; when training was finished there, it is not repeated.
    """

    stage: ClassVar[Stage] = "train"

    task: Task
    epochs: int = 1
    learning_rate: float = 0.01
    training: Training = field(default_factory=Training)
    hooks: tuple[TrainingHook, ...] = ()
    time_limit_s: float | None = None
    checkpoint: Path | None = field(default=None, metadata={"setting": False})

    def __post_init__(self) -> None:
        check_length(self.epochs, self.learning_rate, self.time_limit_s)

    def __call__(self, model: Model, /) -> Model:
        from lilliput.train.checkpoint import folder_for
        from lilliput.train.job import Job
        from lilliput.train.loop import train

        key = {"pass": "FineTune", **settings(self)}
        job = Job(
            verb="fine-tune",
            module=model.module,
            learner=model.module,
            loss=partial(_loss, self),
            task=self.task,
            epochs=self.epochs,
            learning_rate=self.learning_rate,
            training=self.training,
            hooks=self.hooks,
            time_limit_s=self.time_limit_s,
            checkpoint=folder_for(self.checkpoint, key, self.task, (model.module,)),
        )
        train(job)
        return model


def _loss(pass_: FineTune, outputs: Any, _inputs: tuple[Tensor, ...], labels: Any) -> Tensor:
    return hard_loss(pass_.task, pass_.training.label_smoothing, outputs, labels)
