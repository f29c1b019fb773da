"""The one value that flows through every pass: a network, what it eats, and how it came to be."""

import copy
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from lilliput.core.kernel import Note

__all__ = ["Model", "Step", "check_model"]


@dataclass(frozen=True)
class Step:
    """One line of a model's history.

    Args:
        name: The pass that ran.
        settings: Its settings, as JSON can hold them.
        seconds: How long it took.
        stage: Where in a recipe the pass belongs, or "" for a plain function.
    """

    name: str
    settings: dict[str, Any]
    seconds: float
    stage: str = ""


@dataclass(frozen=True, eq=False)
class Model:
    """A network with example inputs and its history.

    Args:
        module: The network; `run` puts it into eval mode.
        example_inputs: One batch for each positional argument of `forward`; axis 0 is the batch.
        history: Passes already applied, oldest first.
        notes: What was done otherwise than asked for, or cannot be done.

    Raises:
        TypeError: The module is no `nn.Module`, or the example inputs are no tuple of tensors.
        ValueError: There are no example inputs.
    """

    module: nn.Module
    example_inputs: tuple[Tensor, ...]
    history: tuple[Step, ...] = ()
    notes: tuple[Note, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.module, nn.Module):
            raise TypeError(f"module must be an nn.Module, got {type(self.module).__name__}")
        _check_tensors(self.example_inputs)
        if not self.example_inputs:
            raise ValueError("example_inputs must hold one tensor for each argument, got none")

    def clone(self) -> "Model":
        """Copies the network, so that the caller may change it in place."""
        return replace(self, module=copy.deepcopy(self.module))


def check_model(value: Any, argument: str = "model") -> None:
    """Refuses what is no `Model`, above all a bare network.

    Args:
        value: What was given.
        argument: What the caller calls it.

    Raises:
        TypeError: Says what was given, and how to make a `Model` of a network.
    """
    if not isinstance(value, Model):
        raise TypeError(
            f"{argument} must be a lilliput.Model, got {type(value).__name__}; "
            "pass lilliput.Model(net, example_inputs=(x,))"
        )


def _check_tensors(inputs: Any) -> None:
    if not isinstance(inputs, tuple):
        raise TypeError(
            f"example_inputs must be a tuple, got {type(inputs).__name__}; pass (x,), with one "
            "tensor for each argument of forward"
        )
    others = [type(x).__name__ for x in inputs if not isinstance(x, Tensor)]
    if others:
        raise TypeError(
            f"example_inputs must be a tuple of tensors, got {', '.join(others)} in it; pass (x,), "
            "with one tensor for each argument of forward"
        )
