"""Whether a network and a task belong together: found out in a second, before hours of work."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from lilliput.core.errors import TaskError
from lilliput.core.model import Model
from lilliput.core.task import Metric, Split, Task

__all__ = ["check_task"]


def check_task(model: Model, task: Task) -> None:
    """Runs the network, the loss and the metric on one batch of train and one of validation.

    Raises:
        TaskError: A loader yields nothing or can be read only once, a batch does not fit
            `forward`, the outputs are not finite, or the loss or metric raises or gives no finite
            scalar. Names what was found, and what would work.
    """
    if not isinstance(task.metric, Metric):
        raise TaskError(
            f"the metric of task {task.name!r} must have update(outputs, labels), compute() and "
            f"higher_is_better, got {type(task.metric).__name__}; torchmetrics' metrics have them"
        )
    model = model.clone()
    model.module.eval()
    splits: tuple[Split, ...] = ("train", "validation", "test")
    for split in splits:
        _check_rereadable(task, split)
    for split in splits[:2]:  # test data is for the report alone
        inputs, labels = next(task.batches(split))
        where = f"the first {split} batch of task {task.name!r}"
        _check_inputs(model, inputs, where)
        outputs = _run(model, inputs, where)
        _check_loss(task, outputs, labels, where)
        _check_metric(task, outputs, labels, where)


def _check_rereadable(task: Task, split: Split) -> None:
    loader = getattr(task, split)
    if loader is not None and iter(loader) is loader:
        raise TaskError(
            f"the {split} data of task {task.name!r} is an iterator ({type(loader).__name__}), "
            "which can be read only once; pass a list of batches, a DataLoader, or an object "
            "whose __iter__ starts anew"
        )


def _check_inputs(model: Model, inputs: tuple[Tensor, ...], where: str) -> None:
    for index, x in enumerate(inputs):
        if x.is_floating_point() and not x.isfinite().all():
            raise TaskError(f"input {index} of {where} holds NaN or infinity; clean the data")
        if not len(x):
            raise TaskError(f"{where} holds no examples")
    if len(inputs) != len(model.example_inputs):
        raise TaskError(
            f"{where} has {len(inputs)} inputs but example_inputs has {len(model.example_inputs)}; "
            "give Task(split=...) a function that maps a batch to (inputs, labels), the inputs a "
            "tuple in the order of forward's arguments"
        )


def _run(model: Model, inputs: tuple[Tensor, ...], where: str) -> Any:
    try:
        outputs = model.module(*inputs)
    except Exception as error:
        raise TaskError(
            f"the network fails on {where}: inputs are {_described(inputs)}, example_inputs are "
            f"{_described(model.example_inputs)}: {error}"
        ) from error
    for index, leaf in enumerate(tree_leaves(outputs)):
        if isinstance(leaf, Tensor) and leaf.is_floating_point() and not leaf.isfinite().all():
            count = int((~leaf.isfinite()).sum())
            raise TaskError(
                f"output {index} of the network holds {count} NaN or infinite values of "
                f"{leaf.numel()} on {where}; check the weights and how inputs are scaled"
            )
    return outputs


def _check_loss(task: Task, outputs: Any, labels: Any, where: str) -> None:
    facts = f"outputs {_described(outputs)}, labels {_described(labels)}"
    try:
        loss = task.loss(outputs, labels)
    except Exception as error:
        raise TaskError(f"the loss raises on {where} ({facts}): {_said(error)}") from error
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        raise TaskError(
            f"the loss must give a tensor of one number, got {_described(loss)} on {where}; "
            "take its mean"
        )
    if not loss.isfinite():
        raise TaskError(f"the loss is {float(loss.detach())} on {where} ({facts})")
    learns = any(isinstance(y, Tensor) and y.requires_grad for y in tree_leaves(outputs))
    if learns and not loss.requires_grad:
        raise TaskError(
            "the loss has no gradient with respect to the network's outputs; compute it with "
            "differentiable tensor operations, without .item(), .detach() or argmax"
        )


def _check_metric(task: Task, outputs: Any, labels: Any, where: str) -> None:
    name = type(task.metric).__name__
    facts = f"outputs {_described(outputs)}, labels {_described(labels)}"
    metric = task.fresh_metric()
    try:
        with torch.no_grad():
            metric.update(outputs, labels)
            value = metric.compute()
    except Exception as error:
        raise TaskError(f"{name} raises on {where} ({facts}): {_said(error)}") from error
    try:
        number = float(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TaskError(
            f"{name}.compute() must give one number, got {_described(value)}; "
            "average it, or choose one entry"
        ) from error
    if not math.isfinite(number):
        raise TaskError(f"{name}.compute() is {number} on {where} ({facts})")


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _described(value: Any) -> str:
    """Type, shape and range, such as `int64 [32] from 0 to 9`."""
    parts = [_leaf(leaf) for leaf in tree_leaves(value)]
    return " and ".join(parts) if parts else "nothing"


def _leaf(leaf: Any) -> str:
    if not isinstance(leaf, Tensor):
        return type(leaf).__name__
    text = f"{str(leaf.dtype).removeprefix('torch.')} {list(leaf.shape)}"
    if leaf.numel() and not leaf.is_floating_point() and not leaf.is_complex():
        return f"{text} from {leaf.min().item()} to {leaf.max().item()}"
    return text
