"""Biases and scales of norms, trained a little so that outputs come nearer to the float ones."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, fx

from lilliput.core.progress import track
from lilliput.quantize.coded.stepped import Seen

__all__ = ["refit"]

_RATE = 2e-3
"""Of the root mean square of a vector, a step at the beginning; it falls to 0."""


def refit(module: fx.GraphModule, names: Sequence[str], seen: Seen, steps: int) -> None:
    """Trains some parameters by the distance of outputs alone, a batch a step.

    Args:
        module: Rounded; the parameters are changed in place.
        names: Of the parameters.
        seen: Inputs, and the float network's outputs; no labels.
        steps: How many.

    Source: Hinton et al. 2015, "Distilling the Knowledge in a Neural Network", section 2.
    """
    trained = {name: module.get_parameter(name) for name in names}
    asked = {name: parameter.requires_grad for name, parameter in module.named_parameters()}
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(name in trained)
    groups = [{"params": [value], "lr": _RATE * _size(value)} for value in trained.values()]
    optimizer = torch.optim.Adam(groups)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: 0.5 + 0.5 * math.cos(math.pi * step / steps)
    )
    for step in track(range(steps), "refit"):
        place = step % len(seen.batches)
        loss = seen.distance(module(*seen.batches[place]), seen.wanted[place]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    for name, parameter in module.named_parameters():
        parameter.grad = None
        parameter.requires_grad_(asked[name])


def _size(value: Tensor) -> float:
    return max(float(value.detach().square().mean().sqrt()), 1e-8)
