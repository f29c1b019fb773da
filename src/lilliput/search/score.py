"""A score for choices: smooth where a metric jumps."""

from collections.abc import Callable
from itertools import islice

import torch

from lilliput.core import Model, Task

__all__ = ["negative_loss"]


def negative_loss(task: Task, batches: int = 2) -> Callable[[Model], float]:
    """Gives a function: minus the mean loss on the first validation batches, so higher is better.

    Args:
        task: Its validation split and loss are used.
        batches: How many.
    """
    first = list(islice(task.batches("validation"), batches))

    @torch.no_grad()
    def score(model: Model) -> float:
        model.module.eval()
        losses = [float(task.loss(model.module(*inputs), labels)) for inputs, labels in first]
        return -sum(losses) / len(losses)

    return score
