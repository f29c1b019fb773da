"""The one value that flows through every pass: a network, what it eats, and how it came to be."""

import copy
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

__all__ = ["Model", "Step"]


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
    """

    module: nn.Module
    example_inputs: tuple[Tensor, ...]
    history: tuple[Step, ...] = ()

    def __post_init__(self) -> None:
        if not self.example_inputs:
            raise ValueError("example_inputs must hold one tensor for each argument, got none")

    def clone(self) -> "Model":
        """Copies the network, so that the caller may change it in place."""
        return replace(self, module=copy.deepcopy(self.module))
