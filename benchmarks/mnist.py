"""MNIST and the two LeNets, trained here: 300-100 (266,200 weights) and 5 (430,500).

`mnist/` below `--data DIR` holds `mnist_train.npz` and `mnist_test.npz` (keys `x`, `y`). The first
55,000 training images train, the other 5,000 are what choices are made on.

Source: LeCun et al. 1998; LeNet-5 as in Caffe, which is the one of Han et al. 2015, table 1.
"""

import math
from collections.abc import Iterator
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lilliput as lp

__all__ = ["lenet5", "lenet300", "task"]

TRAINED = 55_000


@cache
def images(split: str) -> tuple[Tensor, Tensor]:
    """All images `[count, 1, 28, 28]`, 0 to 1, and their digits."""
    with np.load(lp.data_dir() / "mnist" / f"mnist_{split}.npz") as data:
        pixels, labels = torch.from_numpy(data["x"]), torch.from_numpy(data["y"].astype(np.int64))
    return pixels[:, None].float() / 255, labels


class Batches:
    """Batches of a part of a split; shuffled where they train."""

    def __init__(self, split: str, start: int, stop: int, size: int, is_shuffled: bool) -> None:
        self.split, self.range, self.size, self.is_shuffled = (
            split,
            (start, stop),
            size,
            is_shuffled,
        )

    def __len__(self) -> int:
        return math.ceil((self.range[1] - self.range[0]) / self.size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        pixels, labels = (part[slice(*self.range)] for part in images(self.split))
        order = torch.randperm(len(labels)) if self.is_shuffled else torch.arange(len(labels))
        for some in order.split(self.size):
            yield pixels[some], labels[some]


def task() -> lp.Task:
    """Top-1 of MNIST."""
    return lp.Task(
        name="mnist",
        train=Batches("train", 0, TRAINED, 128, is_shuffled=True),
        validation=Batches("train", TRAINED, 60_000, 500, is_shuffled=False),
        test=Batches("test", 0, 10_000, 500, is_shuffled=False),
        loss=F.cross_entropy,
        metric=lp.Accuracy(),
        fingerprint="mnist-55000-5000-10000",
    )


def _fresh(net: nn.Sequential) -> lp.Model:
    return lp.Model(net, (torch.zeros(2, 1, 28, 28),))


def lenet300(seed: int = 0) -> lp.Model:
    """LeNet-300-100, not trained yet."""
    torch.manual_seed(seed)
    layers = [nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10)]
    return _fresh(nn.Sequential(nn.Flatten(), *layers))


def lenet5(seed: int = 0) -> lp.Model:
    """LeNet-5, not trained yet."""
    torch.manual_seed(seed)
    first = [nn.Conv2d(1, 20, 5), nn.MaxPool2d(2), nn.Conv2d(20, 50, 5), nn.MaxPool2d(2)]
    last = [nn.Flatten(), nn.Linear(800, 500), nn.ReLU(), nn.Linear(500, 10)]
    return _fresh(nn.Sequential(*first, *last))
