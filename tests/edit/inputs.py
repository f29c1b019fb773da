"""Inputs such as layers inside a network read."""

import torch

from lilliput.core import Task
from lilliput.testing import TINY_TASKS


def correlated(shape: tuple[int, ...], count: int = 16) -> list[torch.Tensor]:
    """Few directions and a mean, as activations have; smooth along the other axes."""
    torch.manual_seed(1)
    axis = 1 if len(shape) != 3 or shape[1] == 6 else 2
    size = shape[axis]
    mix = torch.randn(size, size) * torch.logspace(0, -2, size)
    found = []
    for _ in range(count):
        x = torch.randn(shape)
        for d in [*range(2, len(shape))] * 3:
            x = x + 0.8 * x.roll(1, d)
        found.append(
            (torch.einsum("ij,...j->...i", mix, x.movedim(axis, -1)) + 0.3).movedim(-1, axis)
        )
    return found


def task_of(inputs: list[torch.Tensor]) -> Task:
    zeros = torch.zeros(1)
    metric = TINY_TASKS["image_classifier"]()[1].metric
    batches = [(x, zeros) for x in inputs]
    return Task("columns", batches, batches, lambda y, _: y.sum(), metric)
