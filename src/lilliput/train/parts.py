"""Parts of a network that can be taught alone: which are not the teacher's, and when they run."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._pytree import tree_leaves

from lilliput.core import Model, PassError
from lilliput.core.kernel import Note
from lilliput.core.modes import in_eval_mode
from lilliput.core.spelling import did_you_mean
from lilliput.graph import fold_batch_norm, is_captured

__all__ = ["Parts", "changed_parts", "named_parts", "numbers_of", "teacher_like"]

_Shapes = tuple[torch.Size, ...]
_Calls = Mapping[str, Sequence[_Shapes]]


@dataclass(frozen=True, eq=False)
class Parts:
    """What is to be taught.

    Args:
        names: Of the parts, in the order in which the student has run them.
        notes: Changed layers that no part holds, and why.
    """

    names: tuple[str, ...]
    notes: tuple[Note, ...] = ()


def teacher_like(student: nn.Module, teacher: Model) -> nn.Module:
    """A copy of the teacher, its BatchNorms folded where the student's are.

    The layer before a folded norm gives what the norm would, and is to be compared with no less.

    Raises:
        PassError: A BatchNorm is folded in the student and cannot be in the teacher.
    """
    own = teacher.clone()
    own.module.eval()
    if _folded(student, own.module):
        own, _ = fold_batch_norm(own)
    left = _folded(student, own.module)
    if left:
        raise PassError(
            f"BatchNorm {left[0]!r} is folded in the student and not in the teacher; give the "
            "teacher as it was after FuseBatchNorm"
        )
    return own.module.requires_grad_(False)


def _folded(student: nn.Module, teacher: nn.Module) -> list[str]:
    """BatchNorms of the teacher that the student has no more, though it has what is around."""
    parts = dict(student.named_modules())
    found = []
    for name, norm in teacher.named_modules():
        twin, around = parts.get(name), parts.get(name.rpartition(".")[0])
        is_lost = is_captured(student) and twin is None and around and any(around.children())
        if isinstance(norm, _BatchNorm) and (type(twin) is nn.Identity or is_lost):
            found.append(name)
    return found


def named_parts(
    student: nn.Module,
    teacher: nn.Module,
    inputs: tuple[Tensor, ...],
    names: Sequence[str],
) -> Parts:
    """The parts of these names.

    Raises:
        PassError: A name is unknown, its part does not run once in both networks, or gives
            something of another shape than the teacher's.
    """
    known = dict(student.named_modules())
    ours, theirs = _calls(student, inputs), _calls(teacher, inputs)
    for name in names:
        if name not in known or not name:
            raise PassError(
                f"no part is called {name!r}; {did_you_mean(name, filter(None, known))}"
            )
        reason = _obstacle(name, ours, theirs)
        if reason:
            raise PassError(f"{name!r} cannot be taught alone: {reason}")
    return Parts(tuple(name for name in ours if name in names))


def changed_parts(student: nn.Module, teacher: nn.Module, inputs: tuple[Tensor, ...]) -> Parts:
    """The smallest parts that hold all that differs from the teacher in kind or in shape.

    Layers whose outputs have another shape than the teacher's, and those with nothing to learn,
    belong to the part around them.
    """
    ours, theirs = _calls(student, inputs), _calls(teacher, inputs)
    modules = dict(student.named_modules())
    found: dict[str, None] = {}
    alone: dict[str, str] = {}
    for name in _changed(modules, dict(teacher.named_modules())):
        around = [name.rsplit(".", up)[0] for up in range(name.count(".") + 1)]
        fits = [
            part
            for part in around
            if not _obstacle(part, ours, theirs) and any(True for _ in modules[part].parameters())
        ]
        if fits:
            found[fits[0]] = None
        else:
            alone[name] = _obstacle(around[-1], ours, theirs) or "has nothing to learn"
    names = [name for name in ours if name in found and not _is_inside(name, found)]
    left = [name for name in alone if not _is_inside(name, found)]
    if not left:
        return Parts(tuple(names))
    others = f" and {len(left) - 1} more" if len(left) > 1 else ""
    text = f"{left[0]!r}{others} changed and are not taught: {alone[left[0]]}"
    return Parts(tuple(names), (Note(text, is_fallback=False),))


def numbers_of(value: Any) -> list[Tensor]:
    """The tensors of floats in what a part gives."""
    return [x for x in tree_leaves(value) if isinstance(x, Tensor) and x.is_floating_point()]


def _obstacle(name: str, ours: _Calls, theirs: _Calls) -> str:
    """Why a part cannot be compared with the teacher's; empty if it can."""
    for calls, whose in ((ours, "the student"), (theirs, "the teacher")):
        count = len(calls.get(name, ()))
        if count == 0:
            return (
                f"{name!r} does not run as a module of {whose}; a captured network runs its "
                "layers, not the modules around them"
            )
        if count > 1:
            return f"{name!r} runs {count} times in {whose}"
    (given,), (wanted,) = ours[name], theirs[name]
    if not wanted:
        return f"{name!r} gives no tensor of floats"
    if given != wanted:
        shapes = [[list(shape) for shape in side] for side in (given, wanted)]
        return (
            f"{name!r} gives {shapes[0]}, the teacher's {shapes[1]}; name a part around it that "
            "gives the teacher's shape"
        )
    return ""


def _changed(ours: Mapping[str, nn.Module], theirs: Mapping[str, nn.Module]) -> Iterator[str]:
    """Names of modules that one network has not, or that differ in kind or in shapes."""
    for name in dict.fromkeys([*ours, *theirs]):
        if not name:
            continue
        own, other = ours.get(name), theirs.get(name)
        if own is None or other is None or _form(own) != _form(other):
            yield name


def _form(module: nn.Module) -> tuple[object, ...]:
    own = [(name, p.shape) for name, p in module.named_parameters(recurse=False)]
    return (type(module).__name__, *own)


def _is_inside(name: str, others: Mapping[str, object]) -> bool:
    return any(name.startswith(f"{other}.") for other in others)


def _calls(module: nn.Module, inputs: tuple[Tensor, ...]) -> dict[str, list[_Shapes]]:
    """Of each inner module, in the order in which they have run, what each call gave."""
    calls: dict[str, list[_Shapes]] = {}

    def watch(name: str, part: nn.Module) -> torch.utils.hooks.RemovableHandle:
        def record(_part: nn.Module, _inputs: object, output: object) -> None:
            calls.setdefault(name, []).append(tuple(x.shape for x in numbers_of(output)))

        return part.register_forward_hook(record)

    with ExitStack() as hooks, in_eval_mode(module), torch.no_grad():
        for name, part in module.named_modules():
            if name:
                hooks.enter_context(watch(name, part))
        module(*inputs)
    return calls
