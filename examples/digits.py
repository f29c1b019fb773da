"""scikit-learn's handwritten digits and a small convolutional net, trained here in seconds.

lilliput compress examples/digits.py --max-drop 1% --out runs/digits
"""

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lilliput as lp


class Net(nn.Module):
    """Three convolutions with a residual connection, for 8x8 images."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, width, 3, 1, 1), nn.BatchNorm2d(width), nn.ReLU())
        self.conv1 = nn.Sequential(
            nn.Conv2d(width, width, 3, 1, 1), nn.BatchNorm2d(width), nn.ReLU()
        )
        self.conv2 = nn.Sequential(nn.Conv2d(width, width, 3, 1, 1), nn.BatchNorm2d(width))
        self.head = nn.Linear(width * 4, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = F.relu(x + self.conv2(self.conv1(x)))
        return self.head(F.max_pool2d(x, 4).flatten(1))


@cache
def splits() -> dict[str, tuple[Tensor, Tensor]]:
    """1,797 images in a fixed order: 1,000 to learn from, 300 to choose on, 497 to report."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    order = torch.randperm(len(digits.target), generator=torch.Generator().manual_seed(0))
    pixels = torch.tensor(digits.images, dtype=torch.float32)[order, None] / 16
    labels = torch.tensor(digits.target)[order]
    ends = {"train": (0, 1000), "validation": (1000, 1300), "test": (1300, 1797)}
    return {name: (pixels[slice(*end)], labels[slice(*end)]) for name, end in ends.items()}


def batches(name: str) -> list[tuple[Tensor, Tensor]]:
    """A split in batches of 50."""
    pixels, labels = splits()[name]
    return list(zip(pixels.split(50), labels.split(50), strict=True))


def task() -> lp.Task:
    """Top-1 of the digits."""
    return lp.Task(
        name="digits",
        train=batches("train"),
        validation=batches("validation"),
        test=batches("test"),
        loss=F.cross_entropy,
        metric=lp.Accuracy(),
    )


def model() -> lp.Model:
    """The net, trained for 20 epochs."""
    torch.manual_seed(0)
    untrained = lp.Model(Net().eval(), (splits()["train"][0][:1],))
    trained = lp.run(untrained, [lp.FineTune(task(), epochs=20, learning_rate=0.05)])
    return lp.Model(trained.module, trained.example_inputs)
