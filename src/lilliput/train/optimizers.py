"""Optimizers as values: what they are, not yet for which parameters."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import nn

__all__ = ["SGD", "AdamW", "Optimizer"]


@runtime_checkable
class Optimizer(Protocol):
    """Builds a torch optimizer; by convention a frozen dataclass of its settings."""

    def build(
        self, parameters: Iterable[nn.Parameter], learning_rate: float, /
    ) -> torch.optim.Optimizer: ...


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent.

    Args:
        momentum: Share of the last step that is kept, 0 to 1.
        weight_decay: Pull towards zero, per step and unit of learning rate.
        nesterov: Looks ahead along the momentum.
        decays_vectors: Whether biases and the scales of norms are pulled, too.

    Source: Sutskever et al. 2013, section 2.
    """

    momentum: float = 0.9
    weight_decay: float = 5e-4
    nesterov: bool = True
    decays_vectors: bool = False

    def __post_init__(self) -> None:
        _check_share("momentum", self.momentum)
        _check_decay(self.weight_decay)

    def build(
        self, parameters: Iterable[nn.Parameter], learning_rate: float, /
    ) -> torch.optim.Optimizer:
        """A `torch.optim.SGD` over `parameters`."""
        return torch.optim.SGD(
            _groups(parameters, self.weight_decay, self.decays_vectors),
            lr=learning_rate,
            momentum=self.momentum,
            nesterov=self.nesterov and self.momentum > 0,
        )


@dataclass(frozen=True)
class AdamW:
    """Adam with decoupled weight decay.

    Args:
        weight_decay: Pull towards zero, per step and unit of learning rate.
        beta1: Memory of the mean gradient, 0 to 1.
        beta2: Memory of the mean squared gradient, 0 to 1.
        decays_vectors: Whether biases and the scales of norms are pulled, too.

    Source: Loshchilov and Hutter 2019, algorithm 2.
    """

    weight_decay: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.999
    decays_vectors: bool = False

    def __post_init__(self) -> None:
        _check_share("beta1", self.beta1)
        _check_share("beta2", self.beta2)
        _check_decay(self.weight_decay)

    def build(
        self, parameters: Iterable[nn.Parameter], learning_rate: float, /
    ) -> torch.optim.Optimizer:
        """A `torch.optim.AdamW` over `parameters`."""
        return torch.optim.AdamW(
            _groups(parameters, self.weight_decay, self.decays_vectors),
            lr=learning_rate,
            betas=(self.beta1, self.beta2),
        )


def _groups(
    parameters: Iterable[nn.Parameter], weight_decay: float, decays_vectors: bool
) -> list[dict[str, Any]]:
    """Matrices and filters decay; biases and norms (one axis or none) only when asked for."""
    trained = [p for p in parameters if p.requires_grad]
    decayed = [p for p in trained if p.ndim > 1 or decays_vectors]
    spared = [p for p in trained if not (p.ndim > 1 or decays_vectors)]
    groups = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": spared, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def _check_share(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise ValueError(f"{name} must be at least 0 and less than 1, got {value}")


def _check_decay(value: float) -> None:
    if not value >= 0:
        raise ValueError(f"weight_decay must be 0 or more, got {value}")
