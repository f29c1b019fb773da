"""Networks whose pairs XNNPACK's partitioner would not find as they are."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from lilliput.core import Accuracy, Model, Task, run
from lilliput.quantize import QuantizeStatic
from lilliput.targets import get_target

TARGET = get_target("executorch-cpu")
RULES = TARGET.rules
assert RULES is not None


class Clipped(nn.Module):
    """A sum and a product with activations that XNNPACK does not fuse with them."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 1)
        self.gate = nn.Conv2d(3, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.a(x)
        y = functional.relu6(y + self.b(y))
        return functional.relu(y * self.gate(x))


class Averaged(nn.Module):
    """A mean that drops its axes, dropout, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.drop, self.head = nn.Conv2d(3, 8, 3), nn.Dropout(0.2), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.drop(functional.relu(self.body(x)).mean((2, 3))))


class Stepped(nn.Module):
    """Every other row and column, as in the shortcuts of the CIFAR ResNets."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 12, 3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.a(x))
        y = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2))
        return functional.relu(self.b(x) + y)


class Padded(nn.Module):
    """Zeros on two sides of four, which no convolution has for its own."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(functional.pad(functional.relu(self.a(x)), (0, 1, 0, 1)))


class Layers(nn.Module):
    """Linear layers whose features groups of 32 divide."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(64, 96), nn.Linear(96, 32, bias=False), nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.c(functional.relu(self.b(functional.relu(self.a(x)))))


IMAGE_NETS: Mapping[str, Callable[[], nn.Module]] = {
    "clipped": Clipped,
    "averaged": Averaged,
    "stepped": Stepped,
    "padded": Padded,
}


def images(seed: int, count: int = 16) -> Tensor:
    return torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed))


def int8(net: str, activation_bits: int = 8) -> Model:
    """A network of random weights, with ranges of random images."""
    torch.manual_seed(0)
    batches = [(images(0), torch.zeros(16, dtype=torch.int64))]
    task = Task("nets", batches, batches, functional.cross_entropy, Accuracy())
    rules = replace(RULES, activation=replace(RULES.activation, bits=activation_bits))
    return run(Model(IMAGE_NETS[net]().eval(), (images(0, 2),)), [QuantizeStatic(rules, task)])


def layers(shape: tuple[int, ...]) -> Model:
    torch.manual_seed(0)
    return Model(Layers().eval(), (torch.randn(*shape, 64),))
