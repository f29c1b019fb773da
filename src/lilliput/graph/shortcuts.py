"""Where data flows around a part: a shortcut, or a branch beside it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lilliput.core import Model
from lilliput.core.modes import in_eval_mode, with_plain_attention

__all__ = ["place_of", "tensors_of", "with_a_way_around"]

Mark = tuple[str, str]  # a whole and one of its parts


def with_a_way_around(model: Model, parts: Sequence[str], wholes: Sequence[str]) -> set[str]:
    """Those parts around which some of what goes into a whole, by its first argument, comes out.

    What goes into a whole gets a mark for each part, which every operator hands on; the part takes
    its own away.

    Args:
        model: It runs its example inputs once, if a part is inside a whole.
        parts: Names of modules.
        wholes: Names of modules; they count for the parts inside them.
    """
    marks = [(whole, part) for whole in wholes for part in parts if part.startswith(f"{whole}.")]
    if not marks:
        return set()
    trail, left = _Trail(), set[Mark]()
    module = model.module
    watched = _marking(module, marks, trail, left)
    with in_eval_mode(module), with_plain_attention(), torch.no_grad(), watched, trail:
        module(*model.example_inputs)
    return {part for _, part in left}


class _Trail(TorchDispatchMode):
    """Hands the marks of what an operator reads on to what it writes, by the memory they are in."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.marks: dict[int, set[Mark]] = {}
        self.kept: list[Tensor] = []  # so that no memory is used twice

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Runs an operator."""
        output = func(*args, **(kwargs or {}))
        self.add(output, self.of((args, kwargs)))
        return output

    def of(self, values: object) -> set[Mark]:
        """All marks of some tensors."""
        places = map(place_of, tensors_of(values))
        return set[Mark]().union(*(self.marks.get(place, ()) for place in places))

    def add(self, values: object, marks: set[Mark]) -> None:
        """Marks tensors."""
        for x in tensors_of(values):
            self.marks.setdefault(place_of(x), set()).update(marks)
            self.kept.append(x)

    def take(self, values: object, marks: set[Mark]) -> None:
        """Takes marks away from tensors."""
        for x in tensors_of(values):
            self.marks.get(place_of(x), set()).difference_update(marks)


def tensors_of(values: object) -> list[Tensor]:
    """The tensors among some values that have memory."""
    return [x for x in tree_leaves(values) if isinstance(x, Tensor) and _has_memory(x)]


def _has_memory(x: Tensor) -> bool:
    return x.layout == torch.strided and x.numel() > 0


def place_of(x: Tensor) -> int:
    """Where a tensor's memory is."""
    return x.untyped_storage().data_ptr()


@contextmanager
def _marking(
    module: nn.Module, marks: Sequence[Mark], trail: _Trail, left: set[Mark]
) -> Iterator[None]:
    """Marks what goes into each whole, and notes which marks come out of it."""

    def watch(part: nn.Module, name: str) -> list[torch.utils.hooks.RemovableHandle]:
        as_whole = {mark for mark in marks if mark[0] == name}
        as_part = {mark for mark in marks if mark[1] == name}

        def enter(_: nn.Module, inputs: tuple[object, ...]) -> None:
            trail.add(inputs[:1], as_whole)

        def leave(_: nn.Module, __: object, output: object) -> None:
            left.update(trail.of(output) & as_whole)
            trail.take(output, as_part)

        return [part.register_forward_pre_hook(enter), part.register_forward_hook(leave)]

    named = {name for mark in marks for name in mark}
    handles = [handle for name in named for handle in watch(module.get_submodule(name), name)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
