"""Training part after part: each learns alone to answer as the teacher's part of the same name."""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar
import math

import torch
from torch import Tensor, nn

from lilliput.core import Model, PassError, Stage, Task, TaskError
from lilliput.core.kernel import Note
from lilliput.core.model import check_model
from lilliput.core.modes import with_plain_attention
from lilliput.core.progress import track
from lilliput.graph import fold_batch_norm
from lilliput.train.lesson import Lesson, lesson_of
from lilliput.train.playback import Playback
from lilliput.train.parts import Parts, changed_parts, named_parts
from lilliput.train.place import lent
from lilliput.train.recalibrate import measured_anew, norms_of
import os
POLICY = os.environ.get("POLICY", "A")

__all__ = ["DistillLayers"]


@dataclass(frozen=True)
class DistillLayers:
    """x"""

    stage: ClassVar[Stage] = "train"

    task: Task
    teacher: Model
    layers: tuple[str, ...] = ()
    samples: int = 256
    steps: int = 300
    batch: int = 16
    learning_rate: float = 0.001
    seed: int = 0

    def __call__(self, model: Model, /) -> Model:
        batches = self._batches()
        device = next(model.module.parameters()).device
        teacher = copy.deepcopy(self.teacher.module).requires_grad_(False).eval().to(device)
        notes = []
        import time
        with with_plain_attention(), lent(model.module, True):
            model.module.eval()
            teacher.to(memory_format=torch.channels_last)
            parts = changed_parts(model.module, teacher, model.example_inputs)
            order = torch.Generator().manual_seed(self.seed)
            st, te = (Playback(x, batches, device, 2**30) for x in (model.module, teacher))
            for name in track(parts.names, "distil part after part"):
                t = time.time()
                lesson = lesson_of(name, st, te)
                t1 = time.time()
                r = self._teach(name, lesson, order); st.keep(name, lesson.outputs())
                print(name, len(lesson.learnt), f"capture {t1-t:.1f} train {time.time()-t1:.1f}", r, flush=True)
        print(parts.notes)
        return model

    def _batches(self):
        return [
            tuple(x[start : start + self.batch] for x in inputs)
            for inputs in self.task.calibration(self.samples)
            for start in range(0, len(inputs[0]), self.batch)
        ]

    def _teach(self, name, lesson, order):
        part = lesson.part
        was = copy.deepcopy(part.state_dict())
        before = lesson.grade()
        if POLICY in "AB":
            measured_anew(part, lesson.run, lesson.learnt)
        mid = lesson.grade()
        if self.steps:
            self._learn(lesson, order)
        unm = lesson.grade()
        if POLICY in "B" :
            measured_anew(part, lesson.run, lesson.learnt)
        after = lesson.grade()
        if not after < before:
            part.load_state_dict(was)
        return f"{before:.4f} {mid:.4f} {unm:.4f} {after:.4f}"

    def _learn(self, lesson, order):
        if POLICY in "BD":
            for n in norms_of(lesson.part): n.train()
        opt = torch.optim.Adam([p for p in lesson.part.parameters() if p.requires_grad], lr=self.learning_rate)
        sch = torch.optim.lr_scheduler.CosineAnnealingLR(opt, self.steps)
        left = []
        for _ in range(self.steps):
            if not left:
                left = torch.randperm(len(lesson.learnt), generator=order).tolist()
            loss = lesson.error(lesson.learnt[left.pop()])
            opt.zero_grad(); loss.backward(); opt.step(); sch.step()
        lesson.part.eval()
