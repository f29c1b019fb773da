"""What a channel gives at least becomes part of the next layer's bias, which costs no codes."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lilliput.quantize.repair.channel_paths import ChannelPath
from lilliput.quantize.repair.scalable import ScalableLayer

__all__ = ["absorb_bias", "can_absorb"]

_DEVIATIONS = 3


def can_absorb(layer: ScalableLayer, path: ChannelPath) -> bool:
    """Whether outputs have known statistics, and the next layer sees no zeros that padding adds."""
    reader = path.reader
    return (
        reader is not None
        and layer.statistics is not None
        and layer.bias is not None
        and path.keeps_shifts
        and (reader.bias is not None or reader.node.op == "call_module")
        and not reader.is_transposed
        and not _is_padded(reader)
    )


@torch.no_grad()
def absorb_bias(layer: ScalableLayer, path: ChannelPath, least: Float[Tensor, " channels"]) -> None:
    """Takes from a layer's bias what its outputs are at least, and gives it to the next one's.

    Args:
        layer: One for which `can_absorb` holds.
        path: To the next layer.
        least: Of the layer's outputs, as far as it was seen.

    Source: Nagel et al. 2019, section 4.1.3, eq. 12 to 15.
    """
    reader, statistics = path.reader, layer.statistics
    assert reader is not None  # noqa: S101
    assert statistics is not None  # noqa: S101
    assert layer.bias is not None  # noqa: S101
    mean, deviation = statistics
    amount = torch.minimum(mean - _DEVIATIONS * deviation, least).clamp_min(0.0).double()
    layer.bias.copy_(layer.bias.double() - amount)
    mean.copy_(mean.double() - amount)
    weight = reader.weight.double()
    # each filter's sum over all places of an input channel, times what the channel lost
    per_input = amount.repeat_interleave(path.repeat).view(reader.groups, 1, -1)
    sums = weight.flatten(2).sum(2) if weight.dim() > 2 else weight
    gained = (sums.view(reader.groups, -1, sums.shape[1]) * per_input).sum(2).flatten()
    if reader.bias is None:
        reader.holder.bias = nn.Parameter(gained.to(reader.weight.dtype))
    else:
        reader.bias.copy_(reader.bias.double() + gained)


def _is_padded(reader: ScalableLayer) -> bool:
    if reader.kind == "linear":
        return False
    padding = getattr(reader.holder, "padding", 0)
    if reader.node.op != "call_module":
        padding = reader.node.args[4] if len(reader.node.args) > 4 else 0
    if isinstance(padding, str):
        return padding != "valid"
    return any(padding) if isinstance(padding, list | tuple) else bool(padding)
