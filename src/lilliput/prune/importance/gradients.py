"""Weights times their gradients, loss after loss, with the network in eval mode."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from lilliput.core import Model, Task, TaskError
from lilliput.core.modes import in_eval_mode
from lilliput.prune.importance.scores import Lines
from lilliput.prune.places import line_of

__all__ = ["Batch", "weighted_gradients"]

Batch = tuple[tuple[Tensor, ...], Any]


def weighted_gradients(
    model: Model,
    task: Task,
    batches: Iterable[Batch],
    axes: Mapping[str, set[int]],
    is_absolute: bool,
) -> Iterator[Lines]:
    """For each batch, sums of weight times gradient over each slice of the parameters.

    A gradient is summed up as soon as it is there, so never more than one layer's is held.
    Parameters that are frozen for training count like others; those that the loss does not depend
    on are left out.

    Args:
        model: Left as it is.
        task: Its loss is used.
        batches: Inputs and labels.
        axes: Which axes of which parameters, by all their names.
        is_absolute: Sum absolute values.

    Raises:
        TaskError: A loss is not finite, or depends on no parameter.
    """
    with in_eval_mode(model.module), _watched(model.module, axes, is_absolute) as lines:
        for inputs, labels in batches:
            lines.clear()
            loss = task.loss(model.module(*inputs), labels)
            if not bool(loss.isfinite()):
                raise TaskError(f"the loss of task {task.name!r} is {float(loss)} on a batch")
            if not loss.requires_grad:
                raise TaskError(
                    f"the loss of task {task.name!r} depends on no parameter; does the network run "
                    "under torch.no_grad(), or the loss detach its outputs?"
                )
            loss.backward()
            yield dict(lines)


@contextmanager
def _watched(module: nn.Module, axes: Mapping[str, set[int]], is_absolute: bool) -> Iterator[Lines]:
    """Inside, every gradient becomes sums and is dropped; after, parameters are as before."""
    lines: Lines = {}
    names: dict[nn.Parameter, list[str]] = defaultdict(list)
    for name, weight in module.named_parameters(remove_duplicate=False):
        if weight.is_floating_point():
            names[weight].append(name)
    before = {weight: (weight.requires_grad, weight.grad) for weight in names}

    def take(weight: Tensor) -> None:
        assert isinstance(weight, nn.Parameter)  # noqa: S101
        assert weight.grad is not None  # noqa: S101
        known = [name for name in names[weight] if name in axes]
        if known:
            product = weight.detach() * weight.grad
            product = product.abs() if is_absolute else product
            for name in known:
                lines.update({(name, axis): line_of(product, axis) for axis in axes[name]})
        weight.grad = None

    handles = []
    for weight in names:
        weight.grad = None
        weight.requires_grad_(True)
        handles.append(weight.register_post_accumulate_grad_hook(take))
    try:
        yield lines
    finally:
        for handle in handles:
            handle.remove()
        for weight, (is_learned, grad) in before.items():
            weight.requires_grad_(is_learned)
            weight.grad = grad
