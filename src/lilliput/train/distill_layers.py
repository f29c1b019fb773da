"""Training part after part: each learns alone to answer as the teacher's part of the same name."""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from lilliput.core import Model, PassError, Stage, Task, TaskError
from lilliput.core.kernel import Note
from lilliput.core.model import check_model
from lilliput.core.modes import with_plain_attention
from lilliput.core.progress import track
from lilliput.core.settings import check_names
from lilliput.train.lesson import Lesson, lesson_of
from lilliput.train.parts import Parts, changed_parts, named_parts, teacher_like
from lilliput.train.place import as_lent, lent
from lilliput.train.playback import Playback
from lilliput.train.recalibrate import measured_anew, norms_of

__all__ = ["DistillLayers"]


@dataclass(frozen=True)
class DistillLayers:
    """Trains each part of a network alone to answer as the teacher's part of the same name.

    For layers that were replaced or blocks that are narrower inside. A few hundred examples are
    enough, and no labels are needed. Each part reads what the parts before it give as they have
    been taught, so that later ones make up for what earlier ones lack. A part that answers no
    better on the last tenth of the examples stays as it was, and a note says so.

    BatchNorm's statistics are measured anew before a part learns and then held, so that what is
    learnt from small batches holds in eval mode; `RecalibrateNorms` afterwards would undo some of
    it. Weights that other parts use are held, too.

    Args:
        task: Its training inputs are looked at.
        teacher: Whose answers to learn; usually the network before it was made smaller.
        layers: Names of the parts, which run once and give the teacher's shapes; they are taught
            in the order in which they run. Empty for the smallest parts that hold all that differs
            from the teacher in kind or in shape.
        samples: How many examples.
        steps: Of the optimizer (Adam, its rate falling along half a cosine), for each part.
        batch: Examples in a step.
        learning_rate: At its highest.
        seed: Of the order in which batches come.
        room_bytes: Most memory, for each of the two networks, for what its parts gave; what finds
            no room is computed again.

    Source: Romero et al. 2015 (FitNets), eq. 3, block by block as in Blakeney et al. 2021,
    "Parallel Blockwise Knowledge Distillation for Deep Neural Network Compression".
    """

    stage: ClassVar[Stage] = "train"

    task: Task
    teacher: Model
    layers: tuple[str, ...] = ()
    samples: int = 256
    steps: int = 100
    batch: int = 20
    learning_rate: float = 0.001
    seed: int = 0
    room_bytes: int = field(default=2**29, metadata={"setting": False})

    def __post_init__(self) -> None:
        check_model(self.teacher, "teacher")
        check_names("layers", self.layers)
        object.__setattr__(self, "layers", tuple(self.layers))
        for name, least in (("samples", 2), ("steps", 1), ("batch", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be {least} or more, got {getattr(self, name)}")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be more than 0, got {self.learning_rate}")

    def __call__(self, model: Model, /) -> Model:
        """Gives the network with parts that answer more like the teacher's.

        Raises:
            PassError: A name is unknown, or its part cannot be compared with the teacher's.
            TaskError: There is but one training example.
        """
        module, batches = model.module, self._batches()
        device = _device_of(model)
        teacher = teacher_like(module, self.teacher).to(device)
        order = torch.Generator().manual_seed(self.seed)
        notes: list[Note] = []
        with with_plain_attention(), lent(module, channels_last=True), lent(teacher, True):
            module.eval()
            teacher.eval()
            parts = self._parts(module, teacher, tuple(x.to(device) for x in batches[0]))
            sides = [Playback(x, batches, device, self.room_bytes) for x in (module, teacher)]
            for name in track(parts.names, "distil part after part"):
                lesson = lesson_of(name, *sides)
                notes += self._teach(name, module, lesson, order)
                sides[0].keep(name, lesson.outputs())
        return replace(model, notes=(*model.notes, *parts.notes, *notes))

    def teaches_all(self, model: Model) -> bool:
        """Whether parts that can be taught alone hold all that differs from the teacher."""
        teacher = teacher_like(model.module, self.teacher)
        found = changed_parts(model.module, teacher, model.example_inputs)
        return bool(found.names) and not found.notes

    def _parts(self, student: nn.Module, teacher: nn.Module, inputs: tuple[Tensor, ...]) -> Parts:
        if self.layers:
            return named_parts(student, teacher, inputs, self.layers)
        return changed_parts(student, teacher, inputs)

    def _batches(self) -> list[tuple[Tensor, ...]]:
        """Inputs as the lent networks read them, at least two batches, since one is held back."""
        large = list(self.task.calibration(self.samples))
        count = sum(len(inputs[0]) for inputs in large)
        if count < 2:
            raise TaskError(
                f"task {self.task.name!r} has {count} training example; DistillLayers needs 2 or "
                "more, as it holds some back to see whether a part has learnt"
            )
        size = min(self.batch, count // 2)
        return [
            few
            for inputs in large
            for few in zip(*(as_lent(x).split(_even(len(x), size)) for x in inputs), strict=True)
        ]

    def _teach(
        self, name: str, module: nn.Module, lesson: Lesson, order: torch.Generator
    ) -> Sequence[Note]:
        """Trains one part, and keeps it where it is better."""
        weights = _weights_of(lesson.part, module)
        if not weights:
            return [Note(f"{name!r} has no weights of its own to train", is_fallback=False)]
        was = copy.deepcopy(lesson.part.state_dict())
        before = lesson.grade()
        if not math.isfinite(before):
            raise PassError(f"{name!r} or the teacher's gives NaN or infinite values on the data")
        if norms_of(lesson.part):
            measured_anew(lesson.part, lesson.run, lesson.learnt)
        self._learn(name, weights, lesson, order)
        after = lesson.grade()
        if after < before:
            return []
        lesson.part.load_state_dict(was)
        text = f"{name!r} stays as it was: its error would be {after:.3g} instead of {before:.3g}"
        return [Note(text, is_fallback=False)]

    def _learn(
        self, name: str, weights: list[nn.Parameter], lesson: Lesson, order: torch.Generator
    ) -> None:
        optimizer = torch.optim.Adam(weights, self.learning_rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.steps)
        left: list[int] = []
        with torch.enable_grad():
            for _ in track(range(self.steps), f"distil {name}"):
                left = left or torch.randperm(len(lesson.learnt), generator=order).tolist()
                loss = lesson.error(lesson.learnt[left.pop()])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()


def _even(count: int, most: int) -> int:
    """Size of batches that are no larger than asked, none much smaller than the others."""
    return math.ceil(count / math.ceil(count / most))


def _device_of(model: Model) -> torch.device:
    tensors = [*model.module.parameters(), *model.module.buffers(), *model.example_inputs]
    return tensors[0].device


def _weights_of(part: nn.Module, module: nn.Module) -> list[nn.Parameter]:
    """Parameters that may be trained, and that no other part of the network uses."""
    inside = set(part.modules())
    others = {
        id(weight)
        for other in module.modules()
        if other not in inside
        for weight in other.parameters(recurse=False)
    }
    return [p for p in part.parameters() if p.requires_grad and id(p) not in others]
