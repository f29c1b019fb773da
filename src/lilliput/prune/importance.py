"""How much each unit of a group matters. The least important go first."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lilliput.core import Model, Task, TaskError, UnsupportedError
from lilliput.graph import ChannelGroup
from lilliput.graph.masks import effective_weights

__all__ = ["BatchNormScale", "Importance", "Magnitude", "Scores", "Taylor"]

Scores = dict[str, Float[Tensor, " units"]]
"""For each group, by name, one number for each unit; of mean 1, so that groups compare."""


@runtime_checkable
class Importance(Protocol):
    """Anything that scores the units of channel groups."""

    def __call__(self, model: Model, groups: Sequence[ChannelGroup], /) -> Scores: ...


@dataclass(frozen=True)
class Magnitude:
    """The norm of all weights that would go with the unit, those that read it included.

    Biases and norms do not count: where a BatchNorm follows, a weight's own scale says little, and
    that of its readers says more.

    Source: Li et al. 2017, "Pruning Filters for Efficient ConvNets", section 3.1, for one layer;
    Fang et al. 2023, "DepGraph", section 3.3, for all layers of a group.

    Args:
        p: 1 or 2, the norm's order.
    """

    p: float = 2.0

    def __call__(self, model: Model, groups: Sequence[ChannelGroup], /) -> Scores:
        tensors = effective_weights(model.module)
        powers = {n: t.detach().abs() ** self.p for n, t in tensors.items() if t.dim() > 1}
        return {g.name: _to_mean_1(_per_unit(g, powers) ** (1 / self.p)) for g in groups}


@dataclass(frozen=True)
class Taylor:
    """How much the loss would change without the unit, to first order.

    That is the sum of |weight * gradient| over all its weights.
    Gradients are taken batch by batch with the network in eval mode.

    Source: Molchanov et al. 2019, "Importance Estimation for Neural Network Pruning", section 3.1,
    with the absolute value where they square.

    Args:
        task: Its training split and loss are used.
        samples: Examples to look at.
    """

    task: Task
    samples: int = 512

    def __call__(self, model: Model, groups: Sequence[ChannelGroup], /) -> Scores:
        change = self._change(model.clone())
        return {group.name: _to_mean_1(_per_unit(group, change)) for group in groups}

    def _change(self, model: Model) -> dict[str, Tensor]:
        module = model.module.eval()
        named = dict(module.named_parameters())
        weights = [weight.requires_grad_(True) for weight in named.values()]
        change = {name: torch.zeros_like(weight) for name, weight in named.items()}
        for inputs, labels in self.task.first("train", self.samples):
            loss = self.task.loss(module(*inputs), labels)
            if not bool(loss.isfinite()):
                raise TaskError(f"the loss of task {self.task.name!r} is {float(loss)} on a batch")
            gradients = torch.autograd.grad(loss, weights, allow_unused=True)
            for (name, weight), gradient in zip(named.items(), gradients, strict=True):
                if gradient is not None:
                    change[name] += (weight.detach() * gradient).abs()
        owners = {id(weight): name for name, weight in named.items()}
        every = module.named_parameters(remove_duplicate=False)
        return {name: change[owners[id(weight)]] for name, weight in every}


@dataclass(frozen=True)
class BatchNormScale:
    """The size of the BatchNorm weights on the unit.

    Source: Liu et al. 2017, "Learning Efficient Convolutional Networks through Network Slimming",
    section 3.

    Raises:
        UnsupportedError: A group has no BatchNorm.
    """

    def __call__(self, model: Model, groups: Sequence[ChannelGroup], /) -> Scores:
        scales = {
            f"{name}.weight": layer.weight.detach().abs()
            for name, layer in model.module.named_modules()
            if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d) and layer.affine
        }
        without = [g.name for g in groups if not any(tensor in scales for tensor, _ in g.axes)]
        if without:
            raise UnsupportedError(
                f"no BatchNorm lies on the channels of {', '.join(map(repr, without))}; "
                "rank with Magnitude() or Taylor(task), or list these groups in keep=(...)"
            )
        return {group.name: _to_mean_1(_per_unit(group, scales)) for group in groups}


def _per_unit(group: ChannelGroup, values: Mapping[str, Tensor]) -> Float[Tensor, " units"]:
    """Sums, for each unit, all values on its slices."""
    places: dict[tuple[str, int], tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for k, unit in enumerate(group.units):
        for site in unit:
            if site.tensor in values:
                units, indices = places[site.tensor, site.axis]
                units.append(k)
                indices.append(site.index)
    total = torch.zeros(group.size)
    for (tensor, axis), (units, indices) in places.items():
        rows = values[tensor].movedim(axis, 0).float().cpu()
        line = rows.reshape(len(rows), -1).sum(1)
        total.index_add_(0, torch.tensor(units), line[torch.tensor(indices)])
    return total


def _to_mean_1(scores: Float[Tensor, " units"]) -> Float[Tensor, " units"]:
    mean = scores.mean()
    return scores / mean if float(mean) > 0 else torch.ones_like(scores)
