"""Small networks, each with one structure that makes channels hard to follow."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from _pytest.mark import ParameterSet
from torch import Tensor, nn
from torch.nn.utils import parametrize


def cbr(
    before: int, after: int, kernel: int = 3, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    conv = nn.Conv2d(before, after, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(after), nn.ReLU())


class Block(nn.Module):
    """The basic block of the CIFAR ResNets, whose shortcut pads channels (option A)."""

    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.shortcut = nn.Sequential()
        self.pad = 0 if before == width else width // 4

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.pad:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.pad, self.pad), "constant", 0)
        return F.relu(y + x)


class ResNet(nn.Module):
    def __init__(self, blocks: int, widths: tuple[int, ...] = (16, 32, 64)) -> None:
        super().__init__()
        before = widths[0]
        self.conv1 = nn.Conv2d(3, before, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(before)
        for stage, width in enumerate(widths):
            layers = []
            for i in range(blocks):
                layers.append(Block(before, width, 2 if stage and not i else 1))
                before = width
            setattr(self, f"layer{stage + 1}", nn.Sequential(*layers))
        self.linear = nn.Linear(before, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer3(self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x))))))
        return self.linear(F.avg_pool2d(x, x.size()[3]).view(x.size(0), -1))


class Bottleneck(nn.Module):
    """A residual block whose shortcut is a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = cbr(3, 8), cbr(8, 6), cbr(6, 12, 1)
        self.short, self.head = nn.Conv2d(8, 12, 1), nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        return self.head((self.short(x) + self.c(self.b(x))).relu().mean((2, 3)))


class Dense(nn.Module):
    """Concatenation, then flatten to a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c, self.d = cbr(3, 8), cbr(8, 6), cbr(14, 5), cbr(19, 10)
        self.head = nn.Linear(10 * 16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        x = torch.cat([x, self.b(x)], 1)
        x = torch.cat([self.c(x), x], 1)
        return self.head(F.max_pool2d(self.d(x), 2).flatten(1))


class Depthwise(nn.Module):
    """A depthwise convolution that also doubles its channels."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = cbr(3, 6), cbr(6, 6, groups=6), cbr(6, 12, groups=6)
        self.d, self.head = cbr(12, 8, 1), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.d(self.c(self.b(self.a(x)))).mean((2, 3)))


class Grouped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = cbr(3, 12), cbr(12, 18, groups=3), cbr(18, 8, 1)
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.c(self.b(self.a(x))).mean((2, 3)))


class Shuffle(nn.Module):
    """Channel shuffle written out, between a grouped and a depthwise convolution."""

    def __init__(self, is_builtin: bool = False) -> None:
        super().__init__()
        self.a, self.b, self.c = cbr(3, 12), cbr(12, 12, 1, groups=3), cbr(12, 12, groups=12)
        self.head = nn.Linear(12, 5)
        self.is_builtin = is_builtin

    def forward(self, x: Tensor) -> Tensor:
        x = self.b(self.a(x))
        if self.is_builtin:
            x = F.channel_shuffle(x, 3)
        else:
            b, c, h, w = x.shape
            x = x.view(b, 3, c // 3, h, w).transpose(1, 2).reshape(b, c, h, w)
        return self.head(self.c(x).mean((2, 3)))


class Split(nn.Module):
    """A chunk whose halves go different ways, as in CSP networks."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = cbr(3, 12), cbr(6, 7)
        self.c, self.head = cbr(13, 8, 1), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        first, second = self.a(x).chunk(2, 1)
        return self.head(self.c(torch.cat([second, self.b(first)], 1)).mean((2, 3)))


class Slices(nn.Module):
    """The same with slices, and a channel axis that is flipped and rolled on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = cbr(3, 12), cbr(5, 7), cbr(7, 6)
        self.head = nn.Linear(13, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x).flip(1).roll(3, 1)
        rest = x[:, -7:] + self.b(x[:, :5])
        return self.head(torch.cat([rest, self.c(rest)], 1).mean((2, 3)))


class PixelShuffle(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = cbr(3, 8), nn.Conv2d(8, 16, 3, 1, 1), nn.Conv2d(4, 3, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.c(F.relu(F.pixel_shuffle(self.b(self.a(x)), 2)))


class Transposed(nn.Module):
    """Transposed convolutions, one of them grouped, with an upsampled skip."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.up = cbr(3, 8), nn.ConvTranspose2d(8, 6, 2, 2)
        self.b = nn.ConvTranspose2d(8, 8, 3, 1, 1, groups=2)
        self.c, self.head = nn.Conv2d(6, 6, 1), nn.Conv2d(14, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        wide = F.interpolate(self.b(x).relu(), scale_factor=2.0, mode="bilinear")
        return self.head(torch.cat([self.c(self.up(x).relu()), wide], 1))


class TwoHeads(nn.Module):
    """A module called twice, and two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = cbr(3, 8), cbr(8, 8)
        self.first, self.second = nn.Linear(8, 4), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.b(self.b(self.a(x))).mean((2, 3))
        return self.first(x), self.second(x)


class SqueezeExcite(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.d = cbr(3, 8), cbr(8, 8, groups=8)
        self.down, self.up = nn.Conv2d(8, 4, 1), nn.Conv2d(4, 8, 1)
        self.p, self.head = cbr(8, 8, 1), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        y = self.d(x)
        gate = torch.sigmoid(self.up(F.relu(self.down(F.adaptive_avg_pool2d(y, 1)))))
        return self.head((x + self.p(y * gate)).mean((2, 3)))


class SpatialGate(nn.Module):
    """One map that multiplies all channels: its only channel must not tie them together."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.gate, self.head = cbr(3, 8), nn.Conv2d(8, 1, 1), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        return self.head((x * torch.sigmoid(self.gate(x))).mean((2, 3)))


class Gated(nn.Module):
    """SwiGLU, once with two linears and once with one that is cut in half."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.up, self.down = nn.Linear(6, 10), nn.Linear(6, 10), nn.Linear(10, 8)
        self.both, self.out = nn.Linear(8, 14, bias=False), nn.Linear(7, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.down(F.silu(self.gate(x)) * self.up(x))
        gate, up = self.both(x).chunk(2, -1)
        return self.out(F.silu(gate) * up)


class Parameters(nn.Module):
    """Parameters of the network itself: positions, a layer scale, a weight used in a product."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.mix = nn.Conv1d(3, 8, 1), nn.Linear(8, 8)
        self.position = nn.Parameter(torch.randn(1, 16, 8))
        self.scale = nn.Parameter(torch.randn(8))
        self.shift = nn.Parameter(torch.randn(8))
        self.weight = nn.Parameter(torch.randn(8, 6))
        self.act, self.head = nn.PReLU(6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x).transpose(1, 2)
        x = x + self.position[:, : x.shape[1]]
        x = x + self.scale * self.mix(x) + self.shift.view(1, 1, -1)
        x = (x @ self.weight).transpose(1, 2)
        return self.head(self.act(x).mean(-1))


class Words(nn.Module):
    """An embedding whose weight is also the last layer's."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.mix = nn.Embedding(11, 8), nn.Linear(8, 8)
        self.head = nn.Linear(8, 11, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        return self.head(x + F.relu(self.mix(x)))


class _Mask(nn.Module):
    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", mask)

    def forward(self, weight: Tensor) -> Tensor:
        return weight * self.mask


class Masked(nn.Module):
    """A sparse convolution: its mask is a parametrization."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.head = cbr(3, 8), nn.Conv2d(8, 6, 3), nn.Linear(6, 4)
        mask = (torch.rand(self.b.weight.shape) > 0.5).float()
        parametrize.register_parametrization(self.b, "weight", _Mask(mask))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.b(self.a(x)).relu().mean((2, 3)))


class Mixer(nn.Module):
    """Linear layers over tokens and over channels in turn."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.tokens = nn.Conv2d(3, 8, 4, 4), nn.Linear(4, 4)
        self.channels, self.head = nn.Linear(8, 8), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x).flatten(2)
        x = x + self.tokens(x)
        x = x.transpose(1, 2)
        return self.head((x + self.channels(x).relu()).mean(1))


class Normalized(nn.Module):
    """Divides channels by their common length, with a size that follows another tensor's."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.head = cbr(3, 8), cbr(8, 6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.normalize(self.a(x), dim=1)
        return self.head(F.normalize(self.b(x).mean((2, 3))))


def image() -> tuple[Tensor, ...]:
    return (torch.randn(2, 3, 8, 8),)


STRUCTURES: dict[str, tuple[Callable[[], nn.Module], Callable[[], tuple[Tensor, ...]]]] = {
    "chain": (lambda: nn.Sequential(cbr(3, 8), cbr(8, 6), nn.Conv2d(6, 3, 1)), image),
    "option A": (lambda: ResNet(2, (8, 16, 32)), image),
    "residual add": (Bottleneck, image),
    "concatenation and flatten": (Dense, image),
    "depthwise": (Depthwise, image),
    "grouped": (Grouped, image),
    "channel shuffle": (Shuffle, image),
    "channel shuffle, built in": (lambda: Shuffle(is_builtin=True), image),
    "chunk": (Split, image),
    "slices": (Slices, image),
    "pixel shuffle": (PixelShuffle, image),
    "transposed": (Transposed, image),
    "two heads, shared module": (TwoHeads, image),
    "squeeze-excite": (SqueezeExcite, image),
    "spatial gate": (SpatialGate, image),
    "gated MLP": (Gated, lambda: (torch.randn(2, 5, 6),)),
    "parameters": (Parameters, lambda: (torch.randn(2, 3, 12),)),
    "tied embedding": (Words, lambda: (torch.randint(0, 11, (2, 5)),)),
    "masked": (Masked, image),
    "token mixer": (Mixer, image),
    "length one": (Normalized, image),
}


def quick(*names: str) -> list[ParameterSet]:
    """All structures for `pytest.mark.parametrize`, those that are not named marked slow."""
    slow = pytest.mark.slow
    return [pytest.param(n, marks=() if n in names else slow) for n in STRUCTURES]


def build(name: str, seed: int = 0) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """The network in eval mode, with norms that are not the identity, and its inputs."""
    torch.manual_seed(seed)
    make, inputs = STRUCTURES[name]
    return settle(make()), inputs()


def settle(net: nn.Module) -> nn.Module:
    for part in net.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.running_mean, std=0.1)
            nn.init.uniform_(part.running_var, 0.5, 2)
        if isinstance(part, nn.BatchNorm2d | nn.LayerNorm | nn.GroupNorm):
            nn.init.uniform_(part.weight, 0.5, 2)
            if part.bias is not None:
                nn.init.normal_(part.bias)
    return net.eval()
