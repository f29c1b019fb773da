"""What one part of a network reads, and what the teacher's gives there: all that it learns from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lilliput.train.parts import numbers_of
from lilliput.train.playback import Playback, copied, stored

__all__ = ["Call", "Lesson", "lesson_of"]


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a part: its arguments, and the teacher's answer."""

    arguments: tuple[Any, ...]
    named: dict[str, Any]
    wanted: tuple[Tensor, ...]


@dataclass(frozen=True, eq=False)
class Lesson:
    """Calls of a part, kept in the computer's own memory; the last tenth examines.

    Args:
        part: Who learns.
        calls: One for each batch.
        variances: Of each output of the teacher's part.
        device: Where the part runs.
    """

    part: nn.Module
    calls: Sequence[Call]
    variances: Sequence[float]
    device: torch.device

    @property
    def learnt(self) -> Sequence[Call]:
        """Calls to learn from."""
        return self.calls[: -max(1, len(self.calls) // 10)]

    @property
    def held(self) -> Sequence[Call]:
        """Calls to be examined on."""
        return self.calls[len(self.learnt) :]

    def run(self, call: Call) -> Any:
        """What the part gives; what it reads is a copy, into which it may write."""
        arguments, named = copied((call.arguments, call.named), self.device)
        return self.part(*arguments, **named)

    def error(self, call: Call) -> Float[Tensor, ""]:
        """Mean squared error as a share of the variance wanted, summed over the outputs."""
        rows = zip(numbers_of(self.run(call)), call.wanted, self.variances, strict=True)
        errors = [
            (given - wanted.to(self.device)).square().mean() / variance
            for given, wanted, variance in rows
        ]
        return torch.stack(errors).sum()

    @torch.no_grad()
    def grade(self) -> float:
        """The mean error over the examples that are held back."""
        sizes = [len(call.wanted[0]) for call in self.held]
        errors = [float(self.error(call)) for call in self.held]
        return sum(e * n for e, n in zip(errors, sizes, strict=True)) / sum(sizes)

    @torch.no_grad()
    def outputs(self) -> list[Any]:
        """What the part gives for each batch."""
        return [stored(self.run(call)) for call in self.calls]


def lesson_of(name: str, student: Playback, teacher: Playback) -> Lesson:
    """Runs both networks up to the part of a name."""
    answers = teacher.outputs(name)
    teacher.keep(name, answers)
    calls = [
        Call(*read, tuple(numbers_of(answer)))
        for read, answer in zip(student.arguments(name), answers, strict=True)
    ]
    part = student.module.get_submodule(name)
    return Lesson(part, calls, _variances(calls), student.device)


def _variances(calls: Sequence[Call]) -> list[float]:
    """Of each output over all calls; tiny where an output never changes."""
    found = []
    for outputs in zip(*(call.wanted for call in calls), strict=True):
        count = sum(x.numel() for x in outputs)
        mean = sum(float(x.double().sum()) for x in outputs) / count
        squares = sum(float((x.double() - mean).square().sum()) for x in outputs)
        found.append(max(squares / count, 1e-12))
    return found
