"""The end of training with steps: plain weights, and few bits for what is left."""

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from jaxtyping import Bool
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lilliput.core import Model, Note, Stage, UnsupportedError
from lilliput.graph import trace
from lilliput.graph.fold import foldable
from lilliput.quantize.coded.coded_aware import stepped_layers
from lilliput.quantize.coded.curve import rounded_vector
from lilliput.quantize.plain import make_plain

__all__ = ["SettleCoded"]


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
            TraceError: The network cannot be traced.
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
        before = foldable(trace(model))
        for name, part in model.module.named_modules():
            if isinstance(part, _BatchNorm):
                _rest(part, _gone(model.module, before.get(name)))
        for found in layers:
            bias = getattr(found.layer, "bias", None)  # an embedding has none
            if bias is not None:
                _round(bias)
        text = f"SettleCoded: {zeros / total:.1%} of the weights that have a step are zero"
        return replace(model, notes=(*model.notes, Note(text, is_fallback=False)))


def _gone(module: nn.Module, layer: str | None) -> Bool[Tensor, " channels"] | None:
    """The channels that a layer gives nothing but its bias."""
    if layer is None:
        return None
    part = module.get_submodule(layer)
    weight: Tensor = part.weight  # type: ignore[assignment]
    rows = weight.movedim(1 if getattr(part, "transposed", False) else 0, 0)
    return ~rows.flatten(1).any(1)


@torch.no_grad()
def _rest(norm: _BatchNorm, gone: Bool[Tensor, " channels"] | None) -> None:
    """The same scale and shift with a mean of 0 and a variance of 1.

    A channel that never varies needs no scale, which would be the largest of all.
    """
    if norm.weight is None or norm.running_mean is None or norm.running_var is None:
        return
    scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    if gone is not None and len(gone) == len(scale):
        scale[gone] = 0.0
    shift = norm.bias.double() - norm.running_mean.double() * scale
    norm.reset_running_stats()
    scale *= math.sqrt(1 + norm.eps)
    norm.weight.copy_(rounded_vector(scale.to(norm.weight)))
    norm.bias.copy_(rounded_vector(shift.to(norm.bias)))


@torch.no_grad()
def _round(vector: Tensor) -> None:
    vector.copy_(rounded_vector(vector))
