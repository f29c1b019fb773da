"""Whether a network and a task belong together: found out in a second, before hours of work."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from lilliput.core.errors import TaskError
from lilliput.core.model import Model, check_model
from lilliput.core.task import Metric, Split, Task

__all__ = ["check_inputs", "check_task"]


def check_task(model: Model, task: Task) -> None:
    """Runs the network, the loss and the metric on one batch of each split.

    Test data, where there are any, are scored alone: no loss is ever taken of them.

    Raises:
        TaskError: A loader yields nothing or can be read only once, a batch does not fit
            `example_inputs` or `forward`, the outputs are not finite, or the loss or metric raises
            or gives no finite scalar. Names what was found, and what would work.
        TypeError: `model` is no `Model`, or `task` no `Task`.
    """
    check_model(model)
    if not isinstance(task, Task):
        raise TypeError(f"task must be a lilliput.Task, got {type(task).__name__}")
    if not isinstance(task.metric, Metric):
        raise TaskError(
            f"the metric of task {task.name!r} must have update(outputs, labels), compute() and "
            f"higher_is_better, got {type(task.metric).__name__}; torchmetrics' metrics have them"
        )
    model = model.clone()
    model.module.eval()
    splits: list[Split] = ["train", "validation"]
    if task.test is not None:
        splits.append("test")
    for split in splits:
        _check_rereadable(task, split)
    for split in splits:
        inputs, labels = check_inputs(model, task, split)
        where = _first(task, split)
        outputs = _run(model, inputs, where)
        if split != "test":
            _check_loss(task, outputs, labels, where)
        _check_metric(task, outputs, labels, where)


def check_inputs(model: Model, task: Task, split: Split) -> tuple[tuple[Tensor, ...], Any]:
    """The first batch `(inputs, labels)` of a split, if its inputs are like the example inputs.

    A file is made for the shapes of the example inputs, of which only the batch may vary.

    Raises:
        TaskError: The split yields nothing, or inputs of another number or shape, or NaN.
    """
    inputs, labels = next(task.batches(split))
    where = _first(task, split)
    if len(inputs) != len(model.example_inputs):
        raise TaskError(
            f"{where} has {len(inputs)} inputs but example_inputs has {len(model.example_inputs)}; "
            "give Task(split=...) a function that maps a batch to (inputs, labels), the inputs a "
            "tuple in the order of forward's arguments"
        )
    for index, (x, example) in enumerate(zip(inputs, model.example_inputs, strict=True)):
        _check_shape(x, example, f"input {index} of {where}")
        if x.is_floating_point() and not x.isfinite().all():
            raise TaskError(f"input {index} of {where} holds NaN or infinity; clean the data")
        if not len(x):
            raise TaskError(f"{where} holds no examples")
    return inputs, labels


def _first(task: Task, split: Split) -> str:
    return f"the first {split} batch of task {task.name!r}"


def _check_shape(x: Tensor, example: Tensor, where: str) -> None:
    """Refuses what no exported file could run: another size on any axis but the batch."""
    if x.dim() == example.dim() > 0 and x.shape[1:] == example.shape[1:]:
        return
    ours = ", ".join(map(str, ("batch", *example.shape[1:])))
    raise TaskError(
        f"{where} has shape {list(x.shape)}, but its example input {list(example.shape)}; a file "
        "has fixed sizes on every axis but axis 0, the batch: give an example input of shape "
        f"{[1, *x.shape[1:]]}, or batches of shape [{ours}]"
    )


def _check_rereadable(task: Task, split: Split) -> None:
    loader = getattr(task, split)
    if loader is not None and iter(loader) is loader:
        raise TaskError(
            f"the {split} data of task {task.name!r} is an iterator ({type(loader).__name__}), "
            "which can be read only once; pass a list of batches, a DataLoader, or an object "
            "whose __iter__ starts anew"
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
            f"{name}.compute() must give one number, got {_returned(value)}; "
            "average it, or choose one entry"
        ) from error
    if not math.isfinite(number):
        raise TaskError(f"{name}.compute() is {number} on {where} ({facts})")


def _returned(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"a dict with {', '.join(map(repr, value)) or 'nothing in it'}"
    if isinstance(value, list | tuple):
        return f"a {type(value).__name__} of {len(value)}"
    return _described(value)


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
