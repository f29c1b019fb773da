"""The end of training with steps: plain weights, and few bits for what is left."""

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from lilliput.core import Model, Note, Stage, UnsupportedError
from lilliput.graph.plain import make_plain
from lilliput.quantize.coded.coded_aware import stepped_layers
from lilliput.quantize.coded.curve import rounded_vector

__all__ = ["SettleCoded"]


_STILL = 1e-4
"""Of a norm's eps: a variance that is no more leaves of a channel a hundredth of its scale."""


@dataclass(frozen=True)
class SettleCoded:
    """Makes the weights that `QuantizeCodedAware` rounds plain ones, each a multiple of its step.

    BatchNorm becomes a scale and a shift, with the statistics of a layer that has seen nothing;
    scales, shifts and biases are rounded to some 9 bits a number. The network is one of its own
    class again, with the keys it had.
    """

    stage: ClassVar[Stage] = "reconstruct"

    def __call__(self, model: Model, /) -> Model:
        """Gives the network without quantizers.

        Raises:
            UnsupportedError: No weight has a step.
        """
        layers = list(stepped_layers(model.module))
        if not layers:
            raise UnsupportedError(
                "no weight has a step; SettleCoded ends what QuantizeCodedAware began"
            )
        zeros = total = 0
        for found in layers:
            make_plain(found.layer)
            weight: Tensor = found.layer.weight  # type: ignore[assignment]
            zeros, total = zeros + int((weight == 0).sum()), total + weight.numel()
        for part in model.module.modules():
            if isinstance(part, _BatchNorm):
                _rest(part)
        for found in layers:
            bias = getattr(found.layer, "bias", None)  # an embedding has none
            if bias is not None:
                _round(bias)
        text = f"SettleCoded: {zeros / total:.1%} of the weights are zero"
        return replace(model, notes=(*model.notes, Note(text, is_fallback=False)))


@torch.no_grad()
def _rest(norm: _BatchNorm) -> None:
    """The same scale and shift with a mean of 0 and a variance of 1."""
    if norm.weight is None or norm.running_mean is None or norm.running_var is None:
        return
    scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    # what never varies needs no scale, which would be the largest of all
    scale[norm.running_var < _STILL * norm.eps] = 0.0
    shift = norm.bias.double() - norm.running_mean.double() * scale
    norm.reset_running_stats()
    scale *= math.sqrt(1 + norm.eps)
    norm.weight.copy_(rounded_vector(scale.to(norm.weight)))
    norm.bias.copy_(rounded_vector(shift.to(norm.bias)))


@torch.no_grad()
def _round(vector: Tensor) -> None:
    vector.copy_(rounded_vector(vector))
