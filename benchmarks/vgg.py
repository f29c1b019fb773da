"""VGG-16 with BatchNorm on CIFAR-10, trained here: 15.0 million weights.

Source: Li et al. 2017, "Pruning Filters for Efficient ConvNets", table 2: thirteen convolutions and
one hidden linear layer of 512.
"""

import torch
from scoring import EXAMPLE
from torch import nn

import lilliput as lp

__all__ = ["convolutions", "fresh"]

WIDTHS = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0)
"""Of each convolution; 0 is a max-pooling by two."""


def fresh(seed: int = 0) -> lp.Model:
    """The network, not trained yet."""
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    before = 3
    for width in WIDTHS:
        if width:
            convolution = nn.Conv2d(before, width, 3, padding=1, bias=False)
            layers += [convolution, nn.BatchNorm2d(width), nn.ReLU()]
            before = width
        else:
            layers.append(nn.MaxPool2d(2))
    layers += [nn.Flatten(), nn.Linear(512, 512, bias=False), nn.BatchNorm1d(512), nn.ReLU()]
    net = nn.Sequential(*layers, nn.Linear(512, 10))
    return lp.Model(net, EXAMPLE.trained(20).example_inputs)


def convolutions(model: lp.Model) -> list[str]:
    """Names of the thirteen, in order."""
    return [name for name, part in model.module.named_modules() if isinstance(part, nn.Conv2d)]
