"""A running mean of the weights, which often scores better than the last weights."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["Average"]


class Average:
    """The exponential moving average of a network's parameters and BatchNorm statistics.

    After step t (counted from 0) the mean moves by `1 - min(decay, (1 + t) / (10 + t))` towards
    the new weights: the short memory at the start forgets the weights training began with.
    All other buffers are copied, because they may belong together, like scale and zero point.

    Source: Polyak and Juditsky 1992; the ramp is that of TensorFlow's `ExponentialMovingAverage`.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.values = {name: value.clone() for name, value in _tensors(module).items()}
        self.averaged = [name for name in _averaged(module) if name in self.values]

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Moves the mean towards the weights after step `step`."""
        pace = 1 - min(self.decay, (1 + step) / (10 + step))
        tensors = _tensors(module)
        torch._foreach_lerp_(
            [self.values[name] for name in self.averaged],
            [tensors[name] for name in self.averaged],
            pace,
        )
        for name in tensors.keys() - set(self.averaged):
            self.values[name].copy_(tensors[name])

    @torch.no_grad()
    def copy_to(self, module: nn.Module) -> None:
        """Makes the mean the network's weights."""
        for name, value in _tensors(module).items():
            value.copy_(self.values[name])


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach() for name, value in module.state_dict().items()}


def _averaged(module: nn.Module) -> Iterator[str]:
    for name, value in module.named_parameters(remove_duplicate=False):
        if value.is_floating_point():
            yield name
    for prefix, part in module.named_modules(remove_duplicate=False):
        if isinstance(part, _BatchNorm):
            for name, statistic in part.named_buffers(prefix, recurse=False):
                if statistic.is_floating_point():
                    yield name
