"""The last pointwise layer, run once after pooling instead of at every position before it.

Source: Howard et al. 2019, "Searching for MobileNetV3", section 5.1 and figure 5.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, fx, nn
from torch.nn import functional

from lilliput.core import Model, PassError, Stage, Task
from lilliput.core.modes import in_eval_mode
from lilliput.core.settings import check_names
from lilliput.core.spelling import did_you_mean
from lilliput.edit.layers import unchanged
from lilliput.edit.tails import Tail, tails
from lilliput.graph import shape_of, trace
from lilliput.graph.capture import as_module

__all__ = ["PoolFirst"]

_PULL = 1.0
"""Changing the weights by their own length costs as much as the error that is there."""

Read = Float[Tensor, "batch in 1 1"]
Given = Float[Tensor, "batch out 1 1"]


@dataclass(frozen=True)
class PoolFirst:
    """Runs pointwise convolutions that stand before global pooling after it.

    Norm and activation go along. Without an activation the outputs stay the same; past one, the
    activation of a mean is not the mean of activations, so weights and shift are fitted to what was
    pooled before. The network becomes a captured graph.

    Args:
        layers: Names of convolutions with a kernel of 1, followed by norm, activation and pooling
            or less of these; empty for all.
        task: Gives the data to fit to; without it weights stay.
        samples: Training examples to look at.
    """

    layers: tuple[str, ...] = ()
    task: Task | None = None
    samples: int = 256
    stage: ClassVar[Stage] = "edit"

    def __post_init__(self) -> None:
        check_names("layers", self.layers)
        if self.samples < 1:
            raise ValueError(f"samples must be 1 or more, got {self.samples}")

    def __call__(self, model: Model, /) -> Model:
        """Gives the model whose last layer runs once.

        Raises:
            PassError: A name is no pointwise convolution before global pooling.
            TaskError: The task has no training data.
            TraceError: The network cannot be traced.
        """
        captured = as_module(trace(model))
        found = {tail.name: tail for tail in tails(captured)}
        for name in self.layers:
            if name not in found:
                hint = did_you_mean(name, found)
                raise PassError(
                    f"{name!r} is no convolution with a kernel of 1 before global pooling; {hint}"
                )
        chosen = [tail for name, tail in found.items() if not self.layers or name in self.layers]
        if not chosen:
            what = "convolution with a kernel of 1 before global pooling"
            return unchanged(model, "PoolFirst", what)
        with in_eval_mode(captured):
            for tail in chosen:
                if self.task is not None and tail.steps:
                    _fit(tail, *_seen(tail, captured, self.task, self.samples))
        for tail in chosen:
            _move(tail)
        captured.recompile()
        return replace(model, module=as_module(trace(replace(model, module=captured))))


def _seen(tail: Tail, module: fx.GraphModule, task: Task, samples: int) -> tuple[Read, Given]:
    """What the convolution reads, pooled, and what was pooled after all its steps."""
    read: list[Tensor] = []
    given: list[Tensor] = []

    def record(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        read.append(inputs[0].mean((2, 3), keepdim=True))
        given.append(tail.after(output.clone()).mean((2, 3), keepdim=True))

    handle = tail.layer.register_forward_hook(record)
    try:
        with torch.no_grad():
            for inputs in task.calibration(samples):
                module(*inputs)
    finally:
        handle.remove()
    return torch.cat(read), torch.cat(given)


def _fit(tail: Tail, read: Read, given: Given) -> None:
    """Least squares from the weights there are, to which they are held."""
    free = [tail.layer.weight, *tail.shift]
    were_free = [parameter.requires_grad for parameter in free]
    start = [parameter.detach().clone() for parameter in free]
    length = torch.stack([x.square().sum() for x in start]).sum().clamp_min(1e-30)

    def error() -> Tensor:
        return functional.mse_loss(tail.after(tail.layer(read)), given)

    with torch.enable_grad():
        for parameter in free:
            parameter.requires_grad_(True)
        pull = _PULL * error().detach() / length
        optimizer = torch.optim.LBFGS(free, max_iter=50, line_search_fn="strong_wolfe")

        def closure() -> Tensor:
            optimizer.zero_grad()
            moved = [(p - s).square().sum() for p, s in zip(free, start, strict=True)]
            loss = error() + pull * torch.stack(moved).sum()
            loss.backward()
            return loss

        optimizer.step(closure)
    tail.module.zero_grad(set_to_none=True)
    for parameter, was_free in zip(free, were_free, strict=True):
        parameter.requires_grad_(was_free)


def _move(tail: Tail) -> None:
    """Pools what the convolution reads, in place of what its steps give."""
    graph, source = tail.module.graph, tail.convolution.all_input_nodes[0]
    with graph.inserting_before(tail.convolution):
        pooled = graph.call_function(torch.ops.aten.adaptive_avg_pool2d.default, (source, [1, 1]))
    tail.convolution.replace_input_with(source, pooled)
    last = tail.steps[-1] if tail.steps else tail.convolution
    if len(shape_of(tail.pool)) == 2:
        with graph.inserting_before(tail.pool):
            last = graph.call_function(torch.ops.aten.flatten.using_ints, (last, 1))
    tail.pool.replace_all_uses_with(last)
    graph.erase_node(tail.pool)
