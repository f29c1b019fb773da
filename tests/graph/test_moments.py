"""Moments against the error they stand for, which the layer itself shows."""

import pytest
import torch
from torch import nn

from lilliput.core import UnsupportedError
from lilliput.graph import input_moments

LAYERS = {
    "linear": (nn.Linear(6, 5), (7, 3, 6)),
    "conv": (nn.Conv2d(4, 6, 3, 2, 1), (5, 4, 9, 8)),
    "uneven": (nn.Conv2d(4, 6, (3, 1), padding=(0, 2), dilation=(2, 1)), (5, 4, 9, 8)),
    "grouped": (nn.Conv2d(4, 6, 3, groups=2), (5, 4, 9, 8)),
    "depthwise": (nn.Conv2d(4, 8, 3, padding="same", groups=4), (5, 4, 9, 8)),
    "line": (nn.Conv1d(4, 6, 4, 2, 3), (5, 4, 11)),
    "same line": (nn.Conv1d(4, 6, 4, padding="same", dilation=2), (5, 4, 11)),
}


@pytest.mark.parametrize("name", list(LAYERS))
def test_moments_give_the_error_of_other_weights(name: str) -> None:
    layer, shape = LAYERS[name]
    torch.manual_seed(0)
    other = type(layer)(**_arguments(layer))
    other.bias.data.copy_(layer.bias.data)
    inputs = [torch.randn(shape) for _ in range(3)]
    with torch.no_grad():
        errors = torch.cat([(layer(x) - other(x)).square().flatten() for x in inputs])
    moments = input_moments(nn.Sequential(layer), ["0"], [(x,) for x in inputs])["0"]
    groups = len(moments.second)
    change = (
        (layer.weight - other.weight).detach().double().reshape(groups, -1, moments.mean.shape[1])
    )
    predicted = torch.einsum("gof,gfh,goh->", change, moments.second, change)
    rows = layer.weight.shape[0]
    torch.testing.assert_close(predicted / rows, errors.double().mean(), rtol=1e-5, atol=0)
    assert moments.count * rows == len(errors)


def _arguments(layer: nn.Module) -> dict:
    if isinstance(layer, nn.Linear):
        return {"in_features": 6, "out_features": 5}
    names = (
        "in_channels",
        "out_channels",
        "kernel_size",
        "stride",
        "padding",
        "dilation",
        "groups",
    )
    return {name: getattr(layer, name) for name in names}


def test_covariance_is_that_of_the_inputs() -> None:
    x = torch.randn(400, 3) + 2
    moments = input_moments(nn.Sequential(nn.Linear(3, 2)), ["0"], [(x,)])["0"]
    torch.testing.assert_close(
        moments.covariance[0].float(), torch.cov(x.T, correction=0), rtol=1e-4, atol=1e-5
    )


def test_refuses_what_it_cannot_read() -> None:
    net = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 2))
    with pytest.raises(UnsupportedError, match="'0' must be a Linear, Conv1d or Conv2d"):
        input_moments(net, ["0"], [(torch.randn(4, 3),)])
    with pytest.raises(UnsupportedError, match=r"'2' must be .* got no layer"):
        input_moments(net, ["2"], [(torch.randn(4, 3),)])
    mirrored = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"))
    with pytest.raises(UnsupportedError, match="pads with 'reflect'"):
        input_moments(mirrored, ["0"], [(torch.randn(1, 1, 5, 5),)])
    with pytest.raises(UnsupportedError, match="did not run"):
        input_moments(net, ["1"], [])
