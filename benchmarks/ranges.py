"""A small MobileNet whose channels were scaled by powers of ten, its function unchanged.

Handwritten digits of scikit-learn; trained in half a minute. For one scale a weight, most channels
of the broken net are too small to have more than a code or two.
"""

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lilliput as lp

__all__ = ["broken", "task", "whole"]

_DECADES = 3


def _layer(before: int, after: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(before, after, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(after), nn.ReLU())


class MobileNet(nn.Module):
    """A stem and seven depthwise separable blocks, for 8x8 images.

    Source: Howard et al. 2017, "MobileNets", table 1, made narrower.
    """

    def __init__(self) -> None:
        super().__init__()
        blocks = [(16, 24, 1), (24, 24, 1), (24, 32, 2), (32, 32, 1)]
        blocks += [(32, 48, 2), (48, 48, 1), (48, 64, 1)]
        self.stem = _layer(1, 16, 3)
        self.blocks = nn.Sequential(
            *[
                nn.Sequential(_layer(before, before, 3, stride, before), _layer(before, after, 1))
                for before, after, stride in blocks
            ]
        )
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))


@cache
def _splits() -> dict[str, tuple[Tensor, Tensor]]:
    """1,797 images in a fixed order: 797 to learn from, 1,000 to score."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    order = torch.randperm(len(digits.target), generator=torch.Generator().manual_seed(0))
    pixels = torch.tensor(digits.images, dtype=torch.float32)[order, None] / 16
    labels = torch.tensor(digits.target)[order]
    return {"train": (pixels[:797], labels[:797]), "validation": (pixels[797:], labels[797:])}


def task() -> lp.Task:
    """Top-1 of 1,000 digits; nothing is chosen on them."""
    batches = {
        name: list(zip(pixels.split(50), labels.split(50), strict=True))
        for name, (pixels, labels) in _splits().items()
    }
    return lp.Task(name="digits-797", **batches, loss=F.cross_entropy, metric=lp.Accuracy())


@cache
def whole() -> lp.Model:
    """The net as training leaves it."""
    torch.manual_seed(0)
    untrained = lp.Model(MobileNet().eval(), (_splits()["train"][0][:1],))
    trained = lp.run(untrained, [lp.FineTune(task(), epochs=30, learning_rate=0.05)])
    return lp.Model(trained.module, trained.example_inputs)


def broken() -> tuple[lp.Model, lp.Task]:
    """The net whose layers hand each channel on larger or smaller, and its task."""
    model = whole().clone()
    layers = [model.module.stem, *[part for block in model.module.blocks for part in block]]
    draw = torch.Generator().manual_seed(0)
    for (_, norm, _), reader in zip(layers, [*layers[1:], model.module.head], strict=True):
        exponents = torch.randint(-_DECADES, _DECADES + 1, (norm.num_features,), generator=draw)
        _scale(norm, reader if isinstance(reader, nn.Linear) else reader[0], 10.0**exponents)
    return model, task()


@torch.no_grad()
def _scale(norm: nn.BatchNorm2d, reader: nn.Conv2d | nn.Linear, factors: Tensor) -> None:
    """Multiplies what a layer gives, and divides the weights that read it."""
    norm.weight *= factors
    norm.bias *= factors
    if isinstance(reader, nn.Conv2d) and reader.groups > 1:
        # a depthwise convolution hands the channel on as it came: BatchNorm's statistics go with it
        reader.weight /= factors.view(-1, 1, 1, 1)
    else:
        reader.weight /= factors.view(1, -1, *[1] * (reader.weight.dim() - 2))
