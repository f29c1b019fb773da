"""BatchNorm statistics measured anew: pruning and reshaping leave them wrong."""

import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lilliput.core import Model, Stage, Task
from lilliput.core.kernel import Note
from lilliput.core.modes import in_eval_mode
from lilliput.core.progress import track

__all__ = ["RecalibrateNorms", "measured_anew", "norms_of"]


@dataclass(frozen=True)
class RecalibrateNorms:
    """Measures mean and variance of every BatchNorm anew, on training inputs and without labels.

    Worth its seconds after every pass that changes what layers give. Each norm then knows the mean
    of its batches' statistics, weighted by their examples, as they are in the changed network.

    Args:
        task: Its training inputs are looked at.
        samples: How many examples.

    Source: Li et al. 2020, "EagleEye: Fast Sub-net Evaluation for Efficient Neural Network
    Pruning", adaptive batch normalization.
    """

    stage: ClassVar[Stage] = "train"

    task: Task
    samples: int = 512

    def __post_init__(self) -> None:
        if self.samples < 2:
            raise ValueError(f"samples must be 2 or more, got {self.samples}")

    def __call__(self, model: Model, /) -> Model:
        """Gives the network with other statistics, and a note where it has none to measure."""
        module = model.module
        if not norms_of(module):
            note = Note("no BatchNorm keeps statistics, so none were measured anew", False)
            return replace(model, notes=(*model.notes, note))
        device = next(iter(norms_of(module))).running_mean.device
        batches = track(list(self.task.calibration(self.samples)), "measure norms anew")

        def run(inputs: tuple[Tensor, ...]) -> None:
            module(*(x.to(device) for x in inputs))

        measured_anew(module, run, batches)
        return model


def norms_of(module: nn.Module) -> list[Any]:
    """Every BatchNorm that keeps statistics."""
    return [
        part
        for part in module.modules()
        if isinstance(part, _BatchNorm) and part.running_mean is not None
    ]


@torch.no_grad()
def measured_anew(module: nn.Module, run: Callable[[Any], object], batches: Iterable[Any]) -> None:
    """Replaces the statistics of a network's BatchNorms by those of what they read.

    Args:
        module: Its norms are changed; it is left in the modes it was in.
        run: Makes the norms read a batch.
        batches: What `run` is called with.
    """
    norms = norms_of(module)
    with in_eval_mode(module), _averaging(norms):
        for batch in batches:
            run(batch)


@contextlib.contextmanager
def _averaging(norms: Iterable[Any]) -> Iterator[None]:
    """Inside, each norm's statistics are the mean of its batches', weighted by their examples."""
    seen: dict[nn.Module, int] = defaultdict(int)

    def weigh(norm: Any, inputs: tuple[Tensor, ...]) -> None:
        read = inputs[0]
        norm.train(read.numel() > read.shape[1])  # one value says nothing of a variance
        if norm.training:
            seen[norm] += len(read)
            norm.momentum = len(read) / seen[norm]

    before = {norm: norm.momentum for norm in norms}
    handles = [norm.register_forward_pre_hook(weigh) for norm in before]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        for norm, momentum in before.items():
            norm.momentum = momentum
