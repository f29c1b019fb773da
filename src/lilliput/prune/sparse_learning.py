"""Training that makes units small before they are removed, so that their absence costs little."""

import copy
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lilliput.core import Model, Task
from lilliput.graph import channel_groups, trace
from lilliput.prune.places import Place, line_of, per_unit, places_of

__all__ = ["GroupSparsity", "ScaleSparsity"]

_NORMS = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d


Groups = list[tuple[int, tuple[Place, ...]]]
"""How many units each has, and where they lie."""


class _State:
    """What is known of the network that is trained."""

    def __init__(self) -> None:
        self.shapes: dict[str, torch.Size] = {}
        self.groups: Groups = []
        self.factors: dict[tuple[str, int], Float[Tensor, " length"]] = {}


@dataclass(frozen=True)
class ScaleSparsity:
    """Adds the absolute BatchNorm weights to the loss, for ranking with `BatchNormScale` after.

    Source: Liu et al. 2017, "Learning Efficient Convolutional Networks through Network Slimming",
    eq. 1.

    Args:
        strength: What their sum is multiplied with.

    Raises:
        ValueError: `strength` is negative.
    """

    strength: float = 1e-4

    def __post_init__(self) -> None:
        _check(self.strength)

    def on_step(self, module: nn.Module, step: int, steps: int, /) -> None:
        """Does nothing."""

    def on_epoch(self, module: nn.Module, epoch: int, epochs: int, /) -> None:
        """Does nothing."""

    def penalty(self, module: nn.Module, /) -> Tensor | None:
        """The weighted sum; None for a network without BatchNorm."""
        norms = [part for part in module.modules() if isinstance(part, _NORMS) and part.affine]
        if not norms:
            return None
        return self.strength * torch.stack([norm.weight.abs().sum() for norm in norms]).sum()


@dataclass(frozen=True)
class GroupSparsity:
    """Shrinks all weights of a unit together, in every layer, the smallest units most.

    Every unit k of every group adds `strength * 2^(alpha (most - I_k) / (most - least)) * I_k`,
    where I_k is the sum of its squared parameters, and most and least are of its group. The factors
    are renewed before each epoch, and again where a resume begins.

    Source: Fang et al. 2023, "DepGraph: Towards Any Structural Pruning", eq. 4 and 5.

    Args:
        task: The groups are found with inputs of its training split.
        strength: What the sum is multiplied with.
        alpha: How much more the smallest units shrink; their factor is `2^alpha`.

    Raises:
        ValueError: `strength` is negative.
    """

    task: Task
    strength: float = 1e-4
    alpha: float = 4.0
    _state: _State = field(
        default_factory=_State, init=False, repr=False, compare=False, metadata={"setting": False}
    )

    def __post_init__(self) -> None:
        _check(self.strength)

    def on_step(self, module: nn.Module, step: int, steps: int, /) -> None:
        """Does nothing."""

    def on_epoch(self, module: nn.Module, epoch: int, epochs: int, /) -> None:  # noqa: ARG002
        """Renews the factors."""
        state = self._state
        shapes = {name: weight.shape for name, weight in module.named_parameters()}
        if epoch == 0 or shapes != state.shapes:
            state.shapes, state.groups = shapes, _found(module, self.task)
        state.factors = _factors(module, state.groups, self.alpha)

    def state_dict(self) -> dict[str, Any]:
        """The factors of the epoch."""
        factors = self._state.factors.items()
        return {"factors": [[name, axis, own] for (name, axis), own in factors]}

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        """Goes on where another was."""
        self._state.factors = {(name, axis): own for name, axis, own in state["factors"]}

    def penalty(self, module: nn.Module, /) -> Tensor | None:
        """The weighted sum; None for a network without groups."""
        weights = dict(module.named_parameters(remove_duplicate=False))
        terms = []
        for (tensor, axis), factors in self._state.factors.items():
            squares = weights[tensor].square().movedim(axis, 0)
            terms.append(factors.to(squares) @ squares.reshape(len(squares), -1).sum(1))
        return self.strength * torch.stack(terms).sum() if terms else None


def _check(strength: float) -> None:
    if strength < 0:
        raise ValueError(f"strength must be 0 or more, got {strength}")


def _found(module: nn.Module, task: Task) -> Groups:
    """The groups of widths, from a copy: a network in training cannot be traced where it is."""
    inputs, _ = task.first("train", 1)[0]
    model = Model(copy.deepcopy(module).cpu(), tuple(x[:2].cpu() for x in inputs))
    groups = channel_groups(trace(model))
    return [(g.size, places_of(g)) for g in groups if g.kind == "channels"]


def _factors(
    module: nn.Module, groups: Groups, alpha: float
) -> dict[tuple[str, int], Float[Tensor, " length"]]:
    """For each axis of each parameter, the factor of each slice."""
    weights = dict(module.named_parameters(remove_duplicate=False))
    found: dict[tuple[str, int], Tensor] = {}
    for size, places in groups:
        lines = {
            (place.tensor, place.axis): line_of(weights[place.tensor].detach().square(), place.axis)
            for place in places
            if place.tensor in weights
        }
        factor = _factor(per_unit(size, places, lines), alpha)
        for place in places:
            if place.tensor in weights:
                key = place.tensor, place.axis
                line = found.setdefault(key, torch.zeros(weights[place.tensor].shape[place.axis]))
                line.index_add_(0, place.indices, factor[place.units])
    return found


def _factor(sizes: Float[Tensor, " units"], alpha: float) -> Float[Tensor, " units"]:
    least, most = sizes.aminmax()
    return 2 ** (alpha * (most - sizes) / (most - least).clamp_min(1e-12))
