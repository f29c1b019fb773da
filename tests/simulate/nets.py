"""Networks with the operators that runtimes have in integers, with scales drawn at random."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from lilliput.core import Accuracy, Model, Task, run
from lilliput.quantize import QuantizeStatic, quantizers
from lilliput.targets import get_target


class Everything(nn.Module):
    """Convolutions of all kinds, a residual, a product, a join, pools, means and linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=16, bias=False)
        self.grouped, self.gate = nn.Conv2d(16, 16, 3, 1, 1, groups=4), nn.Conv2d(3, 16, 1)
        self.dilated, self.narrow = nn.Conv2d(32, 8, 3, 1, 2, 2), nn.Conv2d(8, 8, 1)
        self.hidden, self.head = nn.Linear(8, 10), nn.Linear(10, 4)

    def forward(self, x: Tensor) -> Tensor:
        stem = functional.relu(self.stem(x))
        y = functional.relu(self.grouped(functional.relu6(self.depthwise(stem))) + stem)
        y = torch.cat([y * self.gate(x), y], 1)
        y = functional.pad(functional.max_pool2d(y, 2)[:, :, ::2], (1, 1, 1, 1))
        y = self.narrow(functional.avg_pool2d(self.dilated(y), 2))
        y = functional.adaptive_avg_pool2d(y, 1) + y.mean((2, 3), keepdim=True)
        return self.head(functional.relu(self.hidden(y.flatten(1))))


class Tokens(nn.Module):
    """Linear layers over tokens, with and without bias."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 12), nn.Linear(12, 9, bias=False)
        self.head = nn.Linear(9, 4)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)
        return self.head(functional.relu(self.b(functional.relu(self.a(tokens)))))


class Pools(nn.Module):
    """Pools with padding, that reach over the end, and a linear layer without bias."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.last = nn.Conv2d(3, 8, 3, 2), nn.Conv2d(8, 6, 1)
        self.head = nn.Linear(6 * 4, 4, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.avg_pool2d(self.stem(x), 3, 2, 1)
        y = self.last(functional.avg_pool2d(y, 2, 1, ceil_mode=True))
        return self.head(functional.max_pool2d(y, 2, 2, 1)[:, :, :2, :2].flatten(1))


NETS: Mapping[str, Callable[[], nn.Module]] = {
    "everything": Everything,
    "tokens": Tokens,
    "pools": Pools,
}


def images(seed: int) -> Tensor:
    return torch.randn(32, 3, 16, 16, generator=torch.Generator().manual_seed(seed))


def int8(net: str, target: str, seed: int = 0) -> Model:
    """A network with weights, and after calibration ranges of activations, from a seed."""
    torch.manual_seed(seed)
    batches = [(images(1), torch.zeros(32, dtype=torch.int64))]
    task = Task("nets", batches, batches, functional.cross_entropy, Accuracy())
    rules = get_target(target).rules
    model = Model(NETS[net]().eval(), (images(1)[:2],))
    quantized = run(model, [QuantizeStatic(rules, task)])
    for quantizer in quantizers(quantized.module).values():
        if quantizer.axis is None:
            stretch = 0.4 + torch.rand(2)
            quantizer.set_range(quantizer.low * stretch[0], quantizer.high * stretch[1])
    return quantized


def large_biases(target: str) -> Model:
    """Biases of up to 10^8 codes, and a linear layer that many of them reach."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 64, 1), nn.Flatten(), nn.Linear(64 * 64, 50)).eval()
    with torch.no_grad():
        net[0].bias.copy_(torch.randn(64) * 30)
        net[0].weight.mul_(0.02)
        net[2].weight.mul_(0.02)
    x = torch.randn(32, 3, 8, 8)
    batches = [(x, torch.zeros(32, dtype=torch.int64))]
    task = Task("biases", batches, batches, functional.cross_entropy, Accuracy())
    return run(Model(net, (x[:2],)), [QuantizeStatic(get_target(target).rules, task)])
