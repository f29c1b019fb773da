"""Small networks with what quantizers must get right, and data for them."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from lilliput.core import Accuracy, Model, Task


class Joined(nn.Module):
    """Concatenation of two convolutions and the input."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(3, 4, 1)
        self.c = nn.Conv2d(11, 5, 1)

    def forward(self, image: Tensor) -> Tensor:
        x = torch.cat([self.a(image).relu(), 9 * self.b(image).relu(), image], 1)
        return self.c(x).mean((2, 3))


class JoinedIntegers(nn.Module):
    """Concatenation of convolutions of very different range."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(3, 4, 1)
        self.c = nn.Conv2d(8, 5, 1)
        with torch.no_grad():
            self.b.weight.mul_(20)

    def forward(self, image: Tensor) -> Tensor:
        return self.c(torch.cat([self.a(image), self.b(image)], 1)).mean((2, 3))


class Shuffled(nn.Module):
    """Chunks, channel shuffle, depthwise convolution, ReLU6, dropout and a scalar factor."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.depthwise = nn.Conv2d(4, 4, 3, padding=1, groups=4, padding_mode="zeros")
        self.head = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(8 * 16, 5))

    def forward(self, image: Tensor) -> Tensor:
        left, right = functional.relu6(self.stem(image)).chunk(2, 1)
        x = torch.cat([left, functional.relu6(self.depthwise(right))], 1)
        x = x.reshape(-1, 2, 4, 8, 8).transpose(1, 2).reshape(-1, 8, 8, 8)
        return self.head(functional.max_pool2d(x, 2)) * 0.5


class Branching(nn.Module):
    """A convolution that its ReLU and an addition read, and a clip that nothing absorbs."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 5, 1), nn.Conv2d(5, 5, 1)

    def forward(self, image: Tensor) -> Tensor:
        x = self.a(image)
        y = functional.hardtanh(self.b(functional.relu(x)), -2.0, 2.0)
        return (self.a(image) + x * self.b(y)).mean((2, 3))


def imaged(module: nn.Module, seed: int = 0) -> tuple[Model, Task]:
    """The network with weights from a seed, and a task of 3x8x8 images in 5 classes."""
    draw = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        with torch.no_grad():
            noise = torch.randn(parameter.shape, generator=draw)
            parameter.copy_(parameter.std(correction=0) * noise)
    batches = [
        (torch.randn(16, 3, 8, 8, generator=draw), torch.randint(5, (16,), generator=draw))
        for _ in range(4)
    ]
    task = Task("images", batches[:3], batches[3:], functional.cross_entropy, Accuracy())
    return Model(module.eval(), (batches[3][0][:2],)), task
