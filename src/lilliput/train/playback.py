"""Runs of a network up to one of its parts, in which the parts before it answer from memory."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from lilliput.core import PassError

__all__ = ["Playback", "stored"]


class Playback:
    """A network on batches that do not change, asked about one part after another.

    What was computed of a part that changes no more is kept, and not computed again; where it
    finds no room, it is.

    Args:
        module: Run in the modes it is in.
        batches: Inputs of each batch.
        device: Where it runs.
        room_bytes: Most that is kept.
    """

    def __init__(
        self,
        module: nn.Module,
        batches: Sequence[tuple[Tensor, ...]],
        device: torch.device,
        room_bytes: int,
    ) -> None:
        self.module, self.batches, self.device = module, batches, device
        self.room_bytes = room_bytes
        self.kept: dict[str, Sequence[Any]] = {}

    def arguments(self, name: str) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
        """What the network calls a part with, for each batch: arguments, and those with names."""

        def listen(part: nn.Module, reach: Callable[[Any], None]) -> Any:
            def hook(_part: nn.Module, arguments: object, named: object) -> None:
                reach((arguments, named))

            return part.register_forward_pre_hook(hook, with_kwargs=True)

        return self._all(name, listen)

    def outputs(self, name: str) -> list[Any]:
        """What a part gives, for each batch."""

        def listen(part: nn.Module, reach: Callable[[Any], None]) -> Any:
            return part.register_forward_hook(lambda _part, _inputs, given: reach(given))

        return self._all(name, listen)

    def keep(self, name: str, outputs: Sequence[Any]) -> None:
        """Takes what a part gives as known from now on."""
        tensors = [x for x in tree_leaves(list(outputs)) if isinstance(x, Tensor)]
        size = sum(x.numel() * x.element_size() for x in tensors)
        if size <= self.room_bytes:
            self.room_bytes -= size
            self.kept[name] = outputs

    def _all(
        self, name: str, listen: Callable[[nn.Module, Callable[[Any], None]], Any]
    ) -> list[Any]:
        found: list[Any] = []

        def reach(value: Any) -> None:
            found.append(stored(value))
            raise _ReachedError

        handle = listen(self.module.get_submodule(name), reach)
        try:
            for index in range(len(self.batches)):
                self._run(index)
        finally:
            handle.remove()
        if len(found) != len(self.batches):
            raise PassError(f"{name!r} did not run for each batch of training inputs")
        return found

    @torch.no_grad()
    def _run(self, index: int) -> None:
        inputs = tuple(x.to(self.device) for x in self.batches[index])
        with self._played(index), contextlib.suppress(_ReachedError):
            self.module(*inputs)

    @contextlib.contextmanager
    def _played(self, index: int) -> Iterator[None]:
        """Inside, what is kept of the parts takes the place of their `forward`."""

        def play(name: str) -> Callable[..., Any]:
            return lambda *_arguments, **_named: copied(self.kept[name][index], self.device)

        parts = {name: self.module.get_submodule(name) for name in self.kept}
        before = {name: part.__dict__.get("forward") for name, part in parts.items()}
        for name, part in parts.items():
            part.__dict__["forward"] = play(name)
        try:
            yield
        finally:
            for name, part in parts.items():
                del part.__dict__["forward"]
                if before[name] is not None:
                    part.__dict__["forward"] = before[name]


class _ReachedError(Exception):
    """Ends a run at the part that was asked about: what comes after it is not needed."""


def stored(value: Any) -> Any:
    """A copy in the computer's own memory."""
    return copied(value, torch.device("cpu"))


def copied(value: Any, device: torch.device) -> Any:
    """A copy on a device, into which who gets it may write."""
    return tree_map(
        lambda x: x.detach().to(device, copy=True) if isinstance(x, Tensor) else x, value
    )
