"""What BatchNorm does in eval mode, as a scale and a shift of each channel."""

from jaxtyping import Float64
from torch import Tensor, nn

__all__ = ["scale_and_shift", "scaled"]

Channels = Float64[Tensor, " channels"]


def scale_and_shift(norm: nn.BatchNorm1d | nn.BatchNorm2d) -> tuple[Channels, Channels]:
    """`y = x * scale + shift`, in double.

    Args:
        norm: A layer with running statistics.
    """
    assert norm.running_mean is not None  # noqa: S101
    assert norm.running_var is not None  # noqa: S101
    scale = (norm.running_var.double() + norm.eps).rsqrt()
    shift = -norm.running_mean.double() * scale
    if not norm.affine:
        return scale, shift
    gamma, beta = norm.weight.double(), norm.bias.double()
    return scale * gamma, shift * gamma + beta


def scaled(weight: Tensor, scale: Channels, transposed_groups: int = 0) -> Tensor:
    """Multiplies each output channel of a weight.

    Args:
        weight: Output channels are on axis 0; of a transposed convolution on axis 1, per group.
        scale: One for each output channel.
        transposed_groups: Groups of a transposed convolution; 0 for other layers.
    """
    if not transposed_groups:
        return weight * scale.view(-1, *[1] * (weight.dim() - 1))
    grouped = weight.view(transposed_groups, -1, *weight.shape[1:])
    ones = [1] * (weight.dim() - 2)
    return (grouped * scale.view(transposed_groups, 1, -1, *ones)).view_as(weight)
