"""Training by a teacher: what a larger network knows, taught to a smaller one."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from lilliput.core import Model, Stage, Task, TrainingHook
from lilliput.core.data import length_of
from lilliput.core.model import check_model
from lilliput.core.passes import settings
from lilliput.train.hints import Hint, HintedStudent, hint_loss, shapes_of
from lilliput.train.losses import Match, SoftTargets, hard_loss
from lilliput.train.mixing import Mixing
from lilliput.train.teacher import Teacher
from lilliput.train.training import Training, check_length

__all__ = ["Distill"]


@dataclass(frozen=True)
class Distill:
    """Trains on `(1 - alpha) * task.loss + alpha * match(student, teacher)` plus the hints.

    Args:
        task: What to train on.
        teacher: Whose outputs to imitate; usually the network before it was made smaller.
        epochs: Passes over `task.train`.
        learning_rate: At its highest, in parameter units per unit gradient.
        temperature: Of the default match; higher shows more of the teacher's doubts.
        alpha: Weight of the teacher against the labels, 0 to 1.
        match: How outputs are compared; None for `SoftTargets(temperature)`. Outputs that are not
            class scores want `MeanSquaredErrorMatch()`.
        features: Layers whose outputs should agree, too.
        mixing: Makes more examples out of each batch, such as `CutMix()`, which generalise better
            in long trainings; None for none. Only the teacher can label them: `alpha` must be 1.
        training: Optimizer, schedule, precision and all else.
        hooks: What other techniques do meanwhile. An epoch that a resume goes on with is announced
            to them again.
        cache_bytes: Most memory for the teacher's answers, which are reused where a batch comes
            again unchanged; 0 asks the teacher each time.
        time_limit_s: Ends training early; the learning rate then falls with the time instead.
        checkpoint: A folder to resume from; when training was finished there, it is not repeated.

    Source: Hinton et al. 2015, section 2.
    """

    stage: ClassVar[Stage] = "train"

    task: Task
    teacher: Model
    epochs: int = 1
    learning_rate: float = 0.01
    temperature: float = 4.0
    alpha: float = 0.9
    match: Match | None = None
    features: tuple[Hint, ...] = ()
    mixing: Mixing | None = None
    training: Training = field(default_factory=Training)
    hooks: tuple[TrainingHook, ...] = ()
    cache_bytes: int = field(default=2**28, metadata={"setting": False})
    time_limit_s: float | None = None
    checkpoint: Path | None = field(default=None, metadata={"setting": False})

    def __post_init__(self) -> None:
        check_model(self.teacher, "teacher")
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"alpha must be between 0 and 1, got {self.alpha}")
        if self.mixing is not None and self.alpha < 1:
            raise ValueError(
                f"mixtures have no label of their own; pass alpha=1 with mixing, got {self.alpha}"
            )
        SoftTargets(self.temperature)
        check_length(self.epochs, self.learning_rate, self.time_limit_s)

    def __call__(self, model: Model, /) -> Model:
        from lilliput.train.checkpoint import folder_for
        from lilliput.train.job import Job
        from lilliput.train.loop import train

        key = {"pass": "Distill", **settings(self)}
        networks = (model.module, self.teacher.module)
        teacher = self._teacher()
        job = Job(
            verb="distil",
            module=model.module,
            learner=self._learner(model, teacher.module),
            loss=_Loss(self, teacher),
            task=self.task,
            epochs=self.epochs,
            learning_rate=self.learning_rate,
            training=self.training,
            mixing=self.mixing,
            hooks=self.hooks,
            time_limit_s=self.time_limit_s,
            checkpoint=folder_for(self.checkpoint, key, self.task, networks),
        )
        train(job)
        return model

    def _teacher(self) -> Teacher:
        length = length_of(self.task.train)
        return Teacher(
            self.teacher.module,
            [hint.teacher_layer for hint in self.features],
            self.training,
            cache_bytes=self.cache_bytes,
            patience=1000 if length is None else length,
        )

    def _learner(self, model: Model, teacher: nn.Module) -> nn.Module:
        """The student, within a module that reads its features where there are hints."""
        if not self.features:
            return model.module
        teacher.to(model.example_inputs[0].device)
        shapes = shapes_of(model, teacher, self.features)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.training.seed)
            return HintedStudent(model.module, self.features, shapes)


class _Loss:
    """The loss of a batch; a class, because it holds the teacher."""

    def __init__(self, pass_: Distill, teacher: Teacher) -> None:
        self.pass_, self.teacher = pass_, teacher
        self.match: Match = pass_.match or SoftTargets(pass_.temperature)

    def __call__(self, outputs: Any, inputs: tuple[Tensor, ...], labels: Any) -> Tensor:
        pass_ = self.pass_
        ours: tuple[Tensor, ...] = ()
        if pass_.features:
            outputs, ours = outputs
        terms = []
        if pass_.alpha > 0 or pass_.features:
            answer, theirs = self.teacher(inputs)
            if pass_.alpha > 0:
                terms.append(pass_.alpha * self.match(outputs, answer, labels))
            if pass_.features:
                terms.append(hint_loss(pass_.features, ours, theirs))
        if pass_.alpha < 1:
            hard = hard_loss(pass_.task, pass_.training.label_smoothing, outputs, labels)
            terms.append((1 - pass_.alpha) * hard)
        return sum(terms[1:], start=terms[0])
