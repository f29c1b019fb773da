"""How far outputs are from the float network's, without labels."""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils._pytree import tree_leaves

from lilliput.core import Model, Task
from lilliput.core.class_scores import is_classifier

__all__ = ["Distance", "Divergence", "SquaredError", "distance_of"]


@runtime_checkable
class Distance(Protocol):
    """A distance of outputs, and the square root of its Hessian."""

    @property
    def quantity(self) -> str:
        """What it is called."""
        ...

    def __call__(self, outputs: Any, wanted: Any, /) -> Float[Tensor, " batch"]:
        """The distance of each example."""
        ...

    def draw(self, outputs: Any, draw: torch.Generator, /) -> Tensor:
        """A random scalar of outputs `z`: `E[(its change)^2]` is the distance of a small change.

        The scalar is a sum over examples, each of which is drawn by itself.
        """
        ...


@dataclass(frozen=True)
class Divergence:
    """KL divergence of the softmax of class scores.

    Source: the Fisher matrix as its Hessian: Martens 2020, "New Insights and Perspectives on the
    Natural Gradient Method", section 5.
    """

    quantity: str = "KL to the float softmax"

    def __call__(self, outputs: Tensor, wanted: Tensor, /) -> Float[Tensor, " batch"]:
        # the difference of two logarithms is far below what a float resolves of either
        ours, theirs = (x.double().log_softmax(1) for x in (outputs, wanted))
        return (theirs.exp() * (theirs - ours)).sum(1)

    def draw(self, outputs: Tensor, draw: torch.Generator, /) -> Tensor:
        scores = outputs.float().log_softmax(1)
        classes = torch.multinomial(scores.detach().exp(), 1, generator=draw)
        # KL is half of the quadratic form of the Fisher matrix
        return scores.gather(1, classes).sum().mul(0.5**0.5)


@dataclass(frozen=True)
class SquaredError:
    """Squared error as a share of the mean square; each of several outputs counts the same.

    An output without an entry for each example has one error for all of them.
    """

    quantity: str = "relative squared error"

    def __call__(self, outputs: Any, wanted: Any, /) -> Float[Tensor, " batch"]:
        pairs = zip(_floats(outputs), _floats(wanted), strict=True)
        errors = [((a - b).square(), _power(b)) for a, b in pairs]
        count = len(errors[0][0]) if errors[0][0].dim() else 1
        shares = [_each(error, count) / power for error, power in errors]
        return torch.stack(shares).mean(0)

    def draw(self, outputs: Any, draw: torch.Generator, /) -> Tensor:
        found = _floats(outputs)
        sums = []
        for z in found:
            noise = torch.randn(z.shape, generator=draw)
            weight = (len(z) / (z.numel() * _power(z.detach()) * len(found))) ** 0.5
            sums.append((noise * z).sum() * weight)
        return torch.stack(sums).sum()


def distance_of(model: Model, task: Task) -> Distance:
    """KL divergence for `[batch, classes]` scores of class indices; else the squared error."""
    return Divergence() if is_classifier(model, task) else SquaredError()


def _floats(outputs: Any) -> list[Tensor]:
    leaves = tree_leaves(outputs)
    return [x.float() for x in leaves if isinstance(x, Tensor) and x.is_floating_point()]


def _each(error: Tensor, count: int) -> Float[Tensor, " batch"]:
    """The mean of each example's; of all where there are not so many examples."""
    if error.shape[:1] == (count,):
        return error.flatten(1).mean(1)
    return error.mean().expand(count)


def _power(x: Tensor) -> Tensor:
    return x.square().mean().clamp_min(1e-12)
