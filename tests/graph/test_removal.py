"""Removal against two oracles: the same channels zeroed, and a network built by hand."""

import copy
import os
import random
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from lilliput.core import Model
from lilliput.graph import channel_groups, remove_channels, trace


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


def settle(net: nn.Module) -> nn.Module:
    """Norms that are not the identity."""
    for part in net.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.running_mean, std=0.1)
            nn.init.uniform_(part.running_var, 0.5, 2)
        if hasattr(part, "bias") and "Norm" in type(part).__name__:
            nn.init.uniform_(part.weight, 0.5, 2)
            nn.init.normal_(part.bias)
    return net.eval()


def zeroed(net: nn.Module, groups, drop) -> nn.Module:
    """The network with every site of the dropped units set to zero."""
    net = copy.deepcopy(net)
    tensors = {**dict(net.named_parameters()), **dict(net.named_buffers())}
    with torch.no_grad():
        for name, units in drop.items():
            for site in (site for k in units for site in groups[name].units[k]):
                value = 1.0 if site.tensor.endswith("running_var") else 0.0
                tensors[site.tensor].select(site.axis, site.index).fill_(value)
    return net


def some(groups, share: float = 0.4, seed: int = 0):
    chance = random.Random(seed)
    return {g.name: chance.sample(range(g.size), max(1, int(g.size * share))) for g in groups}


def test_option_a_shortcuts_follow_the_channels() -> None:
    net = settle(ResNet(2, (8, 16, 32)))
    model = Model(net, (torch.randn(2, 3, 16, 16),))
    groups = channel_groups(trace(model))
    drop = some(groups)
    small = remove_channels(model, drop)
    x = torch.randn(5, 3, 16, 16)
    torch.testing.assert_close(small.module.eval()(x), zeroed(net, groups, drop)(x))


@pytest.mark.slow
@pytest.mark.skipif("LILLIPUT_DATA" not in os.environ, reason="needs LILLIPUT_DATA")
@pytest.mark.parametrize(("name", "blocks"), [("resnet20", 3), ("resnet56", 9)])
def test_given_resnets_lose_channels_exactly(name: str, blocks: int) -> None:
    from safetensors.torch import load_file

    net = ResNet(blocks)
    folder = Path(os.environ["LILLIPUT_DATA"]) / "cifar-resnets"
    net.load_state_dict(load_file(folder / f"{name}.safetensors"))
    model = Model(net.eval(), (torch.randn(2, 3, 32, 32),))
    groups = channel_groups(trace(model))
    assert len(groups.groups) == 3 * blocks + 3
    drop = some(groups)
    x = torch.randn(5, 3, 32, 32)
    small = remove_channels(model, drop).module.eval()
    torch.testing.assert_close(small(x), zeroed(net, groups, drop)(x), rtol=1e-4, atol=1e-4)
