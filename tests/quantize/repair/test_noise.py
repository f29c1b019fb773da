import pytest
import torch
from torch import nn

from lilliput.core import Model
from lilliput.graph import capture
from lilliput.quantize.repair.channel_ranges import channel_ranges
from lilliput.quantize.repair.noise import layer_noise
from lilliput.quantize.repair.scalable import scalable_layers

LAYERS = {
    "linear": (nn.Linear(24, 16), (400, 24)),
    "conv": (nn.Conv2d(24, 16, 3, padding=1, bias=False), (20, 24, 9, 9)),
    "grouped": (nn.Conv2d(24, 16, 1, groups=4), (20, 24, 9, 9)),
    "depthwise": (nn.Conv2d(24, 24, 3, padding=1, groups=24), (20, 24, 9, 9)),
    "transposed": (nn.ConvTranspose2d(24, 16, 1), (20, 24, 9, 9)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_is_what_rounding_does(name: str) -> None:
    """Against the rounding itself; taps that padding leaves out make it a little less."""
    torch.manual_seed(0)
    net, shape = LAYERS[name]
    net.reset_parameters()
    x = torch.randn(shape)
    x[:, 3] *= 30
    factors = torch.rand(24).double() + 0.5
    factors[3] = 5.0
    captured = capture(Model(nn.Sequential(net).eval(), (x[:2],))).module
    (layer,) = scalable_layers(captured).values()
    source = layer.node.args[0]
    values = channel_ranges(captured, {source: 1}, [(x,)])[source]
    expected = layer_noise(layer, values, factors)

    shaped = factors.float().view(1, 24, *[1] * (x.dim() - 2))
    with torch.no_grad():
        before = captured(x)
        layer.scale_inputs(factors)
        reads = x / shaped
        step = (reads.max() - reads.min()) / 255
        weight = layer.weight
        within = [axis for axis in range(weight.dim()) if axis != int(layer.is_transposed)]
        steps = weight.abs().amax(within, keepdim=True) / 127
        weight.copy_((weight / steps).round() * steps)
        error = captured((reads / step).round() * step) - before
    channels = error.transpose(0, 1).flatten(1)
    assert expected == pytest.approx(float(channels.square().mean(1).sum()), rel=0.2)
