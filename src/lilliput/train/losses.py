"""What the loops minimize besides the task's own loss."""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._pytree import tree_leaves

from lilliput.core import Task, TaskError

__all__ = [
    "Match",
    "MeanSquaredErrorMatch",
    "SoftTargets",
    "check_classes",
    "hard_loss",
    "smoothed",
]


@runtime_checkable
class Match(Protocol):
    """How far a student's outputs are from its teacher's, as a scalar."""

    def __call__(self, student: Any, teacher: Any, labels: Any, /) -> Tensor: ...


@dataclass(frozen=True)
class SoftTargets:
    """For classifiers: `T^2 KL(softmax(teacher / T) || softmax(student / T))`, mean over examples.

    T^2 keeps the gradient's size as T changes.

    Args:
        temperature: T; higher shows more of how the teacher ranks the wrong classes.

    Source: Hinton et al. 2015, section 2.
    """

    temperature: float = 4.0

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ValueError(f"temperature must be more than 0, got {self.temperature}")

    def __call__(self, student: Any, teacher: Any, labels: Any, /) -> Tensor:
        check_classes(
            student,
            labels,
            "SoftTargets",
            "for other outputs use match=MeanSquaredErrorMatch(), "
            'in a recipe match = { name = "MeanSquaredErrorMatch" }',
        )
        if not isinstance(teacher, Tensor) or teacher.shape != student.shape:
            raise TaskError(
                f"the teacher gives {_shapes(teacher)}, the student {_shapes(student)}; "
                "both must tell the same classes apart"
            )
        log_p = functional.log_softmax(teacher.float() / self.temperature, 1)
        log_q = functional.log_softmax(student.float() / self.temperature, 1)
        divergence = (log_p.exp() * (log_p - log_q)).sum(1).mean()
        return divergence * self.temperature**2


@dataclass(frozen=True)
class MeanSquaredErrorMatch:
    """For any other outputs: the mean squared difference, summed over a tuple's or dict's parts."""

    def __call__(self, student: Any, teacher: Any, labels: Any, /) -> Tensor:  # noqa: ARG002
        ours, theirs = _numbers(student), _numbers(teacher)
        if not ours or [x.shape for x in ours] != [x.shape for x in theirs]:
            raise TaskError(
                f"the teacher gives {_shapes(teacher)}, the student {_shapes(student)}; "
                "outputs can be matched where both give floats of the same shapes"
            )
        errors = [
            functional.mse_loss(x.float(), y.float()) for x, y in zip(ours, theirs, strict=True)
        ]
        return torch.stack(errors).sum()


def _numbers(outputs: Any) -> list[Tensor]:
    leaves = [leaf for leaf in tree_leaves(outputs) if isinstance(leaf, Tensor)]
    return [leaf for leaf in leaves if leaf.is_floating_point()]


def _shapes(outputs: Any) -> str:
    return ", ".join(_shape(leaf) for leaf in tree_leaves(outputs))


def smoothed(loss: Tensor, outputs: Any, labels: Any, smoothing: float) -> Tensor:
    """Mixes in the cross entropy to the uniform distribution over classes.

    With `functional.cross_entropy` as `loss` this equals its `label_smoothing`.

    Source: Szegedy et al. 2016, section 7.
    """
    check_classes(outputs, labels, "label_smoothing", "set it to 0 for other tasks")
    uniform = -functional.log_softmax(outputs.float(), 1).mean()
    return (1 - smoothing) * loss + smoothing * uniform


def check_classes(outputs: Any, labels: Any, asker: str, way_out: str) -> None:
    """Refuses outputs and labels that are not class scores and class indices.

    Raises:
        TaskError: Outputs are not `[batch, classes, ...]`, or labels not integers `[batch, ...]`.
    """
    if (
        isinstance(outputs, Tensor)
        and isinstance(labels, Tensor)
        and outputs.ndim >= 2
        and not labels.is_floating_point()
        and labels.shape == outputs.shape[:1] + outputs.shape[2:]
    ):
        return
    raise TaskError(
        f"{asker} needs class scores [batch, classes] and integer labels [batch], got outputs "
        f"{_shape(outputs)} and labels {_shape(labels)}; {way_out}"
    )


def _shape(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"{list(value.shape)} of {str(value.dtype).removeprefix('torch.')}"
    return f"of type {type(value).__name__}"


def hard_loss(task: Task, smoothing: float, outputs: Any, labels: Any) -> Tensor:
    """The task's own loss, its labels smoothed.

    Raises:
        TaskError: The loss raised, for example because a label is out of range.
    """
    try:
        loss = task.loss(outputs, labels)
    except (IndexError, TypeError, ValueError, RuntimeError) as error:
        found = [_shape(leaf) + _range(leaf) for leaf in tree_leaves(labels)]
        raise TaskError(
            f"the loss of task {task.name!r} raised {type(error).__name__}: {error} "
            f"(outputs {_shapes(outputs)}; labels {', '.join(found)})"
        ) from error
    return smoothed(loss, outputs, labels, smoothing) if smoothing else loss


def _range(value: Any) -> str:
    if not isinstance(value, Tensor) or not value.numel() or value.is_complex():
        return ""
    return f" from {value.min().item():g} to {value.max().item():g}"
