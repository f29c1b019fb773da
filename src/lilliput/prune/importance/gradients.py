"""Weights times their gradients, loss after loss, with the network in eval mode."""

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from lilliput.core import Model, Task, TaskError

__all__ = ["Batch", "weighted_gradients"]

Batch = tuple[tuple[Tensor, ...], Any]


def weighted_gradients(
    model: Model, task: Task, batches: Iterable[Batch]
) -> Iterator[dict[str, Tensor]]:
    """For each batch, weight times gradient of every parameter, under all its names.

    Parameters that are frozen for training count like others; those that the loss does not depend
    on give zeros.

    Args:
        model: It is not changed.
        task: Its loss is used.
        batches: Inputs and labels.

    Raises:
        TaskError: A loss is not finite, or depends on no parameter.
    """
    module = model.clone().module.eval()
    named = {n: p for n, p in module.named_parameters() if p.is_floating_point()}
    weights = [weight.requires_grad_(True) for weight in named.values()]
    owners = {id(weight): name for name, weight in named.items()}
    every = [(n, owners[id(p)]) for n, p in module.named_parameters(remove_duplicate=False)]
    for inputs, labels in batches:
        loss = task.loss(module(*inputs), labels)
        if not bool(loss.isfinite()):
            raise TaskError(f"the loss of task {task.name!r} is {float(loss)} on a batch")
        if not loss.requires_grad:
            raise TaskError(
                f"the loss of task {task.name!r} depends on no parameter; does the network run "
                "under torch.no_grad(), or the loss detach its outputs?"
            )
        gradients = torch.autograd.grad(loss, weights, allow_unused=True)
        products = {
            name: weight.detach() * (torch.zeros_like(weight) if gradient is None else gradient)
            for (name, weight), gradient in zip(named.items(), gradients, strict=True)
        }
        yield {name: products[owner] for name, owner in every}
