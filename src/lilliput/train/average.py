"""A running mean of the weights, which often scores better than the last weights."""

import torch
from torch import Tensor, nn

__all__ = ["Average"]


class Average:
    """The exponential moving average of a network's parameters and buffers.

    After step t (counted from 0) the mean moves by `1 - min(decay, (1 + t) / (10 + t))` towards
    the new weights: the short memory at the start forgets the weights training began with.
    Integers, like BatchNorm's count of batches, are copied.

    Source: Polyak and Juditsky 1992; the ramp is that of TensorFlow's `ExponentialMovingAverage`.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.values = {name: value.clone() for name, value in _tensors(module).items()}

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Moves the mean towards the weights after step `step`."""
        pace = 1 - min(self.decay, (1 + step) / (10 + step))
        tensors = _tensors(module)
        floats = [name for name, value in tensors.items() if value.is_floating_point()]
        torch._foreach_lerp_(
            [self.values[name] for name in floats], [tensors[name] for name in floats], pace
        )
        for name in tensors.keys() - set(floats):
            self.values[name].copy_(tensors[name])

    @torch.no_grad()
    def copy_to(self, module: nn.Module) -> None:
        """Makes the mean the network's weights."""
        for name, value in _tensors(module).items():
            value.copy_(self.values[name])


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach() for name, value in module.state_dict().items()}
