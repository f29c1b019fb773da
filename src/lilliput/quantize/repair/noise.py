"""How much noise integers of eight bits bring into a layer, expected from ranges alone."""

from jaxtyping import Float
from torch import Tensor

from lilliput.quantize.repair.channel_ranges import ChannelValues
from lilliput.quantize.repair.scalable import ScalableLayer

__all__ = ["layer_noise"]

_ACTIVATION_STEPS, _WEIGHT_STEPS = 255, 127


def layer_noise(
    layer: ScalableLayer, values: ChannelValues, factors: Float[Tensor, " inputs"]
) -> float:
    """The squared error of what a layer gives at one position, summed over its channels.

    Inputs share one step, with a zero point, and the weights of an output channel a symmetric one.
    Rounding errors are taken as uniform and independent.

    Args:
        layer: Its weight is as it was.
        values: Of its input channels as they were.
        factors: What the inputs are divided by, and the weights multiplied with.

    Source: Widrow and Kollar 2008, "Quantization Noise", section 4: a step `d` has `d**2 / 12`.
    """
    low, high = (x.double() / factors for x in (values.low, values.high))
    step = (high.amax().clamp_min(0) - low.amin().clamp_max(0)) / _ACTIVATION_STEPS
    weight = layer.by_group()
    groups, _, inputs, taps = weight.shape
    weight = weight * factors.view(groups, 1, inputs, 1)
    steps = weight.abs().amax((2, 3)) / _WEIGHT_STEPS
    power = (values.square.double() / factors.square()).view(groups, inputs).sum(1) * taps
    of_inputs = step.square() * weight.square().sum()
    of_weights = (steps.square().sum(1) * power).sum()
    return float((of_inputs + of_weights) / 12)
