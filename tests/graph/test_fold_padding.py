"""The oracle is the network itself: its outputs stay, and the paddings go."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from lilliput.core import Model
from lilliput.graph import capture
from lilliput.graph.fold_padding import fold_padding

IMAGE, LINE = (2, 4, 9, 9), (2, 4, 9)


class Own(nn.Conv2d):
    """A convolution whose `forward` pads: an operator in the graph, and no layer."""

    def forward(self, x: Tensor) -> Tensor:
        x = functional.pad(x, (2, 2, 1, 1))
        return functional.conv2d(x, self.weight, None, self.stride)


FOLDED = {
    "a layer": (nn.Sequential(nn.ZeroPad2d(1), nn.Conv2d(4, 6, 3)), IMAGE),
    "a layer that pads already": (nn.Sequential(nn.ZeroPad2d(2), nn.Conv2d(4, 6, 3, 2, 1)), IMAGE),
    "more on one axis": (nn.Sequential(nn.ZeroPad2d((2, 2, 0, 0)), nn.Conv2d(4, 6, 3)), IMAGE),
    "a depthwise layer": (nn.Sequential(nn.ZeroPad2d(2), nn.Conv2d(4, 4, 5, groups=4)), IMAGE),
    "one axis": (nn.Sequential(nn.ZeroPad1d(2), nn.Conv1d(4, 6, 5)), LINE),
    "an operator": (Own(4, 6, 3, bias=False), IMAGE),
}
STAYS = {
    "more on one side": (nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(4, 6, 3)), IMAGE),
    "another value": (nn.Sequential(nn.ConstantPad2d(1, 0.5), nn.Conv2d(4, 6, 3)), IMAGE),
    "mirrored": (nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(4, 6, 3)), IMAGE),
    "channels too": (
        nn.Sequential(nn.ConstantPad3d((0, 0, 0, 0, 1, 1), 0.0), nn.Conv2d(6, 6, 3)),
        IMAGE,
    ),
    "cut off": (nn.Sequential(nn.ZeroPad2d(-1), nn.Conv2d(4, 6, 3)), IMAGE),
    "a pool": (nn.Sequential(nn.ZeroPad2d(1), nn.MaxPool2d(2)), IMAGE),
    "same": (nn.Sequential(nn.ZeroPad2d(1), nn.Conv2d(4, 6, 3, padding="same")), IMAGE),
}


def folded(net: nn.Module, shape: tuple[int, ...]) -> int:
    x = torch.randn(shape)
    captured = capture(Model(net.eval(), (x,)))
    count = fold_padding(captured.module)
    captured.module.graph.lint()
    torch.testing.assert_close(captured.module(x), net(x))
    return count


@pytest.mark.parametrize("name", FOLDED)
def test_zeros_become_the_convolutions_own(name: str) -> None:
    assert folded(*FOLDED[name]) == 1


@pytest.mark.parametrize("name", STAYS)
def test_what_a_convolution_cannot_pad_stays(name: str) -> None:
    assert folded(*STAYS[name]) == 0


def test_zeros_that_others_read_stay() -> None:
    class Branching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(4, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = functional.pad(x, (1, 1, 1, 1))
            return self.conv(x).mean() + x.mean()

    assert folded(Branching(), IMAGE) == 0


def test_a_layer_that_runs_twice_stays() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(4, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(self.conv(functional.pad(x, (1, 1, 1, 1))))

    assert folded(Twice(), IMAGE) == 0
