"""Removal of whole blocks: where a block keeps its input's shape, the input goes on in its place.

In deep residual networks a block refines what its shortcut carries, so one can go at a small cost;
and time on a device often falls with the number of layers rather than with their width.

Source: Veit et al. 2016, "Residual Networks Behave Like Ensembles of Relatively Shallow Networks".
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from lilliput.core import Model, PassError, Stage
from lilliput.core.modes import in_eval_mode
from lilliput.core.spelling import did_you_mean

__all__ = ["RemoveBlocks", "removable_blocks"]


@dataclass(frozen=True)
class RemoveBlocks:
    """Replaces each named module by the identity.

    Args:
        names: Qualified names of modules that give a tensor of their input's shape, such as
            `layer1.3`; `removable_blocks` lists them.
    """

    names: tuple[str, ...]
    stage: ClassVar[Stage] = "prune"

    def __post_init__(self) -> None:
        if isinstance(self.names, str):
            raise TypeError(f"names must be a tuple of names, got the text {self.names!r}")
        object.__setattr__(self, "names", tuple(self.names))

    def __call__(self, model: Model, /) -> Model:
        """Gives the shallower model.

        Raises:
            PassError: A name is no module that keeps its input's shape.
        """
        known = _shape_keepers(model)
        for name in self.names:
            if name not in known:
                hint = did_you_mean(name, known)
                raise PassError(f"{name!r} is no block that keeps its input's shape; {hint}")
            model.module.set_submodule(name, nn.Identity() if known[name] == 1 else FirstArgument())
        return model


class FirstArgument(nn.Module):
    """Stands for a block that is also given a mask or the like: its first argument goes on."""

    def forward(self, x: Tensor, *_others: object) -> Tensor:
        """Gives `x`."""
        return x


def removable_blocks(model: Model) -> tuple[str, ...]:
    """The innermost modules with layers inside that keep their input's shape, in running order."""
    modules = dict(model.module.named_modules())
    names = [name for name in _shape_keepers(model) if any(modules[name].children())]
    return tuple(name for name in names if not any(other.startswith(f"{name}.") for other in names))


def _shape_keepers(model: Model) -> dict[str, int]:
    """Modules that run once and give one tensor of their first argument's shape.

    Returns:
        For each, how many arguments it is given.
    """
    calls: dict[str, list[int]] = {}
    with in_eval_mode(model.module), _watched(model.module, calls), torch.no_grad():
        model.module(*model.example_inputs)
    return {name: counts[0] for name, counts in calls.items() if len(counts) == 1 and counts[0]}


@contextmanager
def _watched(module: nn.Module, calls: dict[str, list[int]]) -> Iterator[None]:
    """Records of each call of every inner module its number of arguments; 0 if it must stay."""

    def watch(name: str, part: nn.Module) -> torch.utils.hooks.RemovableHandle:
        def record(
            _: nn.Module, inputs: tuple[object, ...], named: dict[str, object], output: object
        ) -> None:
            # what stands in for it takes no named arguments
            is_plain = bool(inputs) and not named
            both = is_plain and isinstance(inputs[0], Tensor) and isinstance(output, Tensor)
            keeps = both and inputs[0].shape == output.shape  # type: ignore[attr-defined]
            calls.setdefault(name, []).append(len(inputs) if keeps else 0)

        return part.register_forward_hook(record, with_kwargs=True)

    handles = [watch(name, part) for name, part in module.named_modules() if name]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
