"""How every arm of a comparison is trained, so that they differ in where they start from."""

from dataclasses import dataclass, replace

from lilliput.core import Model, Pass, Task
from lilliput.train import Distill, FineTune, Match, Schedule, Training

__all__ = ["Lesson"]


@dataclass(frozen=True, eq=False)
class Lesson:
    """One training for all, at one of two rates.

    Args:
        task: What to train on.
        training: Optimizer and all else; its seed is replaced by the run's.
        fine_tune_rate: Learning rate of a network that keeps trained weights.
        scratch_rate: Learning rate of a network drawn anew.
        scratch_schedule: How that rate changes; fine-tuning takes the one of `training`.
        teacher: Whom all imitate; None for labels alone.
        match: How outputs are compared with the teacher's.

    Raises:
        ValueError: A rate is not above 0.
    """

    task: Task
    training: Training
    fine_tune_rate: float
    scratch_rate: float
    scratch_schedule: Schedule
    teacher: Model | None = None
    match: Match | None = None

    def __post_init__(self) -> None:
        for name in ("fine_tune_rate", "scratch_rate"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be more than 0, got {getattr(self, name)}")

    def fine_tuning(self, epochs: int, seed: int) -> Pass:
        """The training of a network that keeps trained weights."""
        return self._pass(epochs, self.fine_tune_rate, replace(self.training, seed=seed))

    def from_scratch(self, epochs: int, seed: int) -> Pass:
        """The training of a network drawn anew."""
        training = replace(self.training, seed=seed, schedule=self.scratch_schedule)
        return self._pass(epochs, self.scratch_rate, training)

    def _pass(self, epochs: int, rate: float, training: Training) -> Pass:
        if self.teacher is None:
            return FineTune(self.task, epochs, rate, training)
        return Distill(self.task, self.teacher, epochs, rate, match=self.match, training=training)
