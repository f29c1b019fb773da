"""Feature matching: makes named layers of a student answer like named layers of its teacher."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from lilliput.core import Model, PassError
from lilliput.core.modes import in_eval_mode

__all__ = ["Hint", "HintedStudent", "Projection", "features_of", "hint_loss", "shapes_of"]


@dataclass(frozen=True)
class Hint:
    """Two layers whose outputs should agree, by mean squared error.

    Where one axis differs in size, a learned linear map widens the student's features; it is
    thrown away after training.

    Args:
        student: Name of a layer of the student, as in `named_modules()`.
        teacher: Name of a layer of the teacher; by default the same name.
        weight: Of this error in the loss.

    Source: Romero et al. 2015 (FitNets), eq. 3.
    """

    student: str
    teacher: str = ""
    weight: float = 1.0

    @property
    def teacher_layer(self) -> str:
        """The teacher's layer."""
        return self.teacher or self.student


class Projection(nn.Module):
    """A linear map along one axis: a 1x1 convolution where the axis is that of the channels."""

    def __init__(self, axis: int, width: int, wanted: int) -> None:
        super().__init__()
        self.axis = axis
        self.linear = nn.Linear(width, wanted, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        projected: Tensor = self.linear(x.movedim(self.axis, -1))
        return projected.movedim(-1, self.axis)


class HintedStudent(nn.Module):
    """Runs the student and gives `(outputs, features)`, features projected to the teacher's sizes.

    Args:
        student: The network.
        hints: Which layers to read.
        shapes: Of each hint's features, the student's and the teacher's.

    Raises:
        PassError: Features differ in more than one axis.
    """

    def __init__(
        self,
        student: nn.Module,
        hints: Sequence[Hint],
        shapes: Sequence[tuple[torch.Size, torch.Size]],
    ) -> None:
        super().__init__()
        self.student = student
        self.names = tuple(hint.student for hint in hints)
        projections = [_projection(h, *shape) for h, shape in zip(hints, shapes, strict=True)]
        self.projections = nn.ModuleList(projections)

    def forward(self, *inputs: Tensor) -> tuple[Any, tuple[Tensor, ...]]:
        outputs, features = features_of(self.student, self.names, inputs)
        pairs = zip(self.projections, features, strict=True)
        return outputs, tuple(projection(feature) for projection, feature in pairs)


def features_of(
    module: nn.Module, names: Sequence[str], inputs: tuple[Tensor, ...]
) -> tuple[Any, tuple[Tensor, ...]]:
    """Runs a network; gives its outputs, and those of the named layers.

    Raises:
        PassError: A layer does not exist, does not run, or gives no tensor.
    """
    found: dict[str, Tensor] = {}
    with _listening(module, names, found.__setitem__):
        outputs = module(*inputs)
    for name in names:
        if not isinstance(found.get(name), Tensor):
            raise PassError(
                f"layer {name!r} of {type(module).__name__} gave no tensor; name a layer that runs "
                "and gives one tensor (quantizing replaces layers: distil features before it)"
            )
    return outputs, tuple(found[name] for name in names)


@contextlib.contextmanager
def _listening(
    module: nn.Module, names: Sequence[str], put: Callable[[str, Any], None]
) -> Iterator[None]:
    layers = dict(module.named_modules())
    handles = []
    try:
        for name in dict.fromkeys(names):
            if name not in layers:
                raise PassError(
                    f"{type(module).__name__} has no layer {name!r}; it has {', '.join(layers)}"
                )

            def hook(_layer: nn.Module, _inputs: Any, output: Any, name: str = name) -> None:
                put(name, output)

            handles.append(layers[name].register_forward_hook(hook))
        yield
    finally:
        for handle in handles:
            handle.remove()


def shapes_of(
    student: Model, teacher: nn.Module, hints: Sequence[Hint]
) -> list[tuple[torch.Size, torch.Size]]:
    """Shapes of each hint's features for the student's example inputs."""
    with in_eval_mode(student.module), torch.no_grad():
        ours = features_of(student.module, [h.student for h in hints], student.example_inputs)[1]
        theirs = features_of(teacher, [h.teacher_layer for h in hints], student.example_inputs)[1]
    return [(a.shape, b.shape) for a, b in zip(ours, theirs, strict=True)]


def _projection(hint: Hint, ours: torch.Size, theirs: torch.Size) -> nn.Module:
    same_rank = len(ours) == len(theirs)
    axes = [i for i in range(len(ours)) if same_rank and ours[i] != theirs[i]]
    if not same_rank or len(axes) > 1 or axes == [0]:
        raise PassError(
            f"{hint.student!r} of the student gives {list(ours)}, {hint.teacher_layer!r} of the "
            f"teacher {list(theirs)}; choose layers that differ in one axis only"
        )
    return Projection(axes[0], ours[axes[0]], theirs[axes[0]]) if axes else nn.Identity()


def hint_loss(
    hints: Sequence[Hint],
    ours: Sequence[Float[Tensor, "..."]],
    theirs: Sequence[Float[Tensor, "..."]],
) -> Tensor:
    """The weighted sum of the hints' errors."""
    errors = [
        hint.weight * functional.mse_loss(a.float(), b.float())
        for hint, a, b in zip(hints, ours, theirs, strict=True)
    ]
    return torch.stack(errors).sum()
