"""CIFAR-10 with the trained ResNet-20 and ResNet-56 (option A shortcuts).

    lilliput compress examples/cifar10.py:resnet20 --data DIR --max-drop 1%

`DIR` holds `cifar10/train.npz` and `cifar10/test.npz` (keys `blob`, `off`, `y`: lossless WebP
sheets of 20 x 50 tiles) and `cifar-resnets/resnet20.safetensors` and `resnet56.safetensors`.
The nets were trained on all of the training images, so choices are made on the first 2,000 test
images and reported on the other 8,000.
"""

import io
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lilliput as lp

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HOW_TO_GET = """
needed below --data DIR:
  cifar10/train.npz, cifar10/test.npz   CIFAR-10 (Krizhevsky 2009) as WebP sheets
  cifar-resnets/resnet20.safetensors, resnet56.safetensors
      weights of github.com/akamaster/pytorch_resnet_cifar10 (BSD-2), saved with
      safetensors.torch.save_file(state_dict, path) without the 'module.' prefix"""


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut that pads channels with zeros (option A).

    Source: He et al. 2016, section 4.2.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.padding = (outputs - inputs) // 2

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.padding:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.padding, self.padding))
        return F.relu(y + x)


class ResNet(nn.Module):
    """The CIFAR-10 ResNet of 6n + 2 layers."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = self._stage(16, 16, n, 1)
        self.layer2 = self._stage(16, 32, n, 2)
        self.layer3 = self._stage(32, 64, n, 2)
        self.linear = nn.Linear(64, 10)

    @staticmethod
    def _stage(inputs: int, outputs: int, n: int, stride: int) -> nn.Sequential:
        rest = [Block(outputs, outputs, 1) for _ in range(n - 1)]
        return nn.Sequential(Block(inputs, outputs, stride), *rest)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(F.avg_pool2d(x, x.shape[3]).flatten(1))


def file(name: str) -> Path:
    """A file below `--data DIR`."""
    path = lp.data_dir() / name
    if not path.is_file():
        raise lp.LilliputError(f"{path} is missing;{HOW_TO_GET}")
    return path


@cache
def images(name: str) -> tuple[Tensor, Tensor]:
    """All images of a split as uint8 `[count, 3, 32, 32]`, and their labels."""
    try:
        from PIL import Image
    except ImportError as error:
        raise lp.LilliputError("reading CIFAR-10 needs pillow; pip install pillow") from error
    with np.load(file(f"cifar10/{name}.npz")) as data:
        blob, offsets, labels = data["blob"].tobytes(), data["off"], data["y"]
    tiles = []
    for start, stop in pairwise(offsets):
        sheet = np.asarray(Image.open(io.BytesIO(blob[start:stop])).convert("RGB"))
        rows = sheet.reshape(20, 32, 50, 32, 3).transpose(0, 2, 4, 1, 3)
        tiles.append(torch.from_numpy(rows.reshape(-1, 3, 32, 32).copy()))
    return torch.cat(tiles)[: len(labels)], torch.from_numpy(labels.astype(np.int64))


def normalise(pixels: Tensor) -> Tensor:
    """From bytes to what the nets were trained on."""
    mean, std = torch.tensor(MEAN).view(3, 1, 1), torch.tensor(STD).view(3, 1, 1)
    return (pixels.float() / 255 - mean) / std


class Batches:
    """Batches of a split; `is_augmented` shuffles, shifts by up to 4 pixels and mirrors."""

    def __init__(self, split: str, start: int, stop: int, size: int, is_augmented: bool) -> None:
        self.split, self.range, self.size, self.is_augmented = (
            split,
            (start, stop),
            size,
            is_augmented,
        )

    def __len__(self) -> int:
        count = self.range[1] - self.range[0]
        return count // self.size if self.is_augmented else -(-count // self.size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        pixels, labels = images(self.split)
        pixels, labels = pixels[slice(*self.range)], labels[slice(*self.range)]
        order = torch.randperm(len(labels)) if self.is_augmented else torch.arange(len(labels))
        for chosen in order.split(self.size)[: len(self)]:
            batch = normalise(pixels[chosen])
            yield (augment(batch) if self.is_augmented else batch), labels[chosen]


def augment(batch: Tensor) -> Tensor:
    """A random 32x32 crop of each image padded by 4, and a mirror image of half of them."""
    count = len(batch)
    padded = F.pad(batch, (4, 4, 4, 4))
    rows = torch.randint(0, 9, (count, 1)) + torch.arange(32)
    columns = torch.randint(0, 9, (count, 1)) + torch.arange(32)
    mirrored = torch.rand(count, 1) < 0.5
    columns = torch.where(mirrored, columns.flip(1), columns)
    example = torch.arange(count).view(-1, 1, 1)
    crops = padded.permute(0, 2, 3, 1)[example, rows[:, :, None], columns[:, None, :]]
    return crops.permute(0, 3, 1, 2)


def task() -> lp.Task:
    """Top-1 of CIFAR-10."""
    file("cifar10/train.npz")
    return lp.Task(
        name="cifar10",
        train=Batches("train", 0, 50_000, 128, is_augmented=True),
        validation=Batches("test", 0, 2_000, 250, is_augmented=False),
        test=Batches("test", 2_000, 10_000, 250, is_augmented=False),
        loss=F.cross_entropy,
        metric=lp.Accuracy(),
        fingerprint="cifar10-validation-2000-test-8000",
    )


def trained(depth: int) -> lp.Model:
    """The given ResNet of 20 or 56 layers."""
    from safetensors.torch import load_file

    net = ResNet((depth - 2) // 6)
    state = load_file(file(f"cifar-resnets/resnet{depth}.safetensors"))
    net.load_state_dict(state, strict=False)
    return lp.Model(net.eval(), (normalise(torch.randint(0, 256, (1, 3, 32, 32))),))


def resnet20() -> tuple[lp.Model, lp.Task]:
    """ResNet-20, 91.7 %."""
    return trained(20), task()


def resnet56() -> tuple[lp.Model, lp.Task]:
    """ResNet-56, 93.4 %."""
    return trained(56), task()


def model() -> lp.Model:
    """ResNet-20."""
    return trained(20)
