"""Parts whose outputs are added to what went into them, or multiplied: `x + part(norm(x))`."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from lilliput.core import Model
from lilliput.core.modes import in_eval_mode, with_plain_attention
from lilliput.graph.shortcuts import place_of, tensors_of

__all__ = ["met_by_their_inputs"]

_MEETS = {"add", "add_", "sub", "sub_", "mul", "mul_"}
_MIXES = {"convolution", "linear", "addmm", "mm", "bmm", "baddbmm", "embedding"}
"""Operators after which a tensor is no longer the same one, scaled or normalised."""


def met_by_their_inputs(model: Model, parts: Sequence[str]) -> set[str]:
    """Those parts that cannot be passed through: the sum or the product would still be there.

    Args:
        model: It runs its example inputs once.
        parts: Names of modules that run once.
    """
    run, module = _Run(), model.module
    watched = _watching(module, parts, run)
    with in_eval_mode(module), with_plain_attention(), torch.no_grad(), watched, run:
        module(*model.example_inputs)
    return {part for part in parts if run.meets(part)}


@dataclass(frozen=True)
class _Event:
    """An operator that ran, or a part that was left.

    Args:
        kind: The operator's name; empty for a part.
        sources: The events whose results it read.
        part: The part.
    """

    kind: str
    sources: frozenset[int]
    part: str = ""


@dataclass(eq=False)
class _Run(TorchDispatchMode):
    """What was computed from what; a tensor is known by its memory and by who wrote there last."""

    events: list[_Event] = field(default_factory=list)
    writers: dict[int, int] = field(default_factory=dict)
    entered: dict[str, int] = field(default_factory=dict)
    left: dict[str, int] = field(default_factory=dict)
    kept: list[Tensor] = field(default_factory=list)  # so that no memory is used twice

    def __post_init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Runs an operator."""
        sources = self.writers_of((args, kwargs))
        output = func(*args, **(kwargs or {}))
        self.note(_Event(func.__name__.partition(".")[0], sources), output)
        return output

    def writers_of(self, values: object) -> frozenset[int]:
        """The events whose results some tensors are; a first one where none is known."""
        for x in tensors_of(values):
            if place_of(x) not in self.writers:
                self.note(_Event("", frozenset()), x)
        return frozenset(self.writers[place_of(x)] for x in tensors_of(values))

    def note(self, event: _Event, results: object) -> int:
        """Adds an event that wrote some tensors."""
        self.events.append(event)
        for x in tensors_of(results):
            self.writers[place_of(x)] = len(self.events) - 1
            self.kept.append(x)
        return len(self.events) - 1

    def meets(self, part: str) -> bool:
        """Whether some of what the part read is added to what it gave, or multiplied with it."""
        if part not in self.left or part not in self.entered:
            return False
        before, after = self._before(part), {self.left[part]}
        for number in range(self.left[part] + 1, len(self.events)):
            event = self.events[number]
            if not event.sources & after:
                continue
            if event.kind in _MEETS and event.sources & before:
                return True
            if not self._ends(event, part):
                after.add(number)
        return False

    def _before(self, part: str) -> set[int]:
        """What the part read, and what that is scaled or normalised from."""
        found, left = set[int](), [self.entered[part]]
        while left:
            number = left.pop()
            if number in found:
                continue
            found.add(number)
            if not self._ends(self.events[number], part):
                left += self.events[number].sources
        return found

    def _ends(self, event: _Event, part: str) -> bool:
        is_another = bool(event.part) and not f"{part}.".startswith(f"{event.part}.")
        return event.kind in _MIXES or is_another


@contextmanager
def _watching(module: nn.Module, parts: Sequence[str], run: _Run) -> Iterator[None]:
    """Notes when each part is entered and left."""

    def enter(name: str) -> Callable[[nn.Module, tuple[object, ...]], None]:
        def note(_: nn.Module, inputs: tuple[object, ...]) -> None:
            for number in run.writers_of(inputs[:1]):
                run.entered[name] = number

        return note

    def leave(name: str) -> Callable[[nn.Module, tuple[object, ...], object], None]:
        def note(_: nn.Module, __: tuple[object, ...], output: object) -> None:
            run.left[name] = run.note(_Event("", run.writers_of(output), name), output)

        return note

    with ExitStack() as hooks:
        for name in parts:
            part = module.get_submodule(name)
            hooks.enter_context(part.register_forward_pre_hook(enter(name)))
            hooks.enter_context(part.register_forward_hook(leave(name)))
        yield
