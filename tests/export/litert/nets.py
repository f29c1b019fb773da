"""Networks as people write them, quantized for LiteRT, and what is to be read in their files."""

from collections import Counter
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lilliput.core import Accuracy, Model, Task, run
from lilliput.export.litert.file import kinds
from lilliput.quantize import QuantizeStatic
from lilliput.targets import get_target

FLOAT, INT8 = 0, 9
WEIGHTED = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"}


class Keyword(nn.Module):
    """Convolutions over time, one of each kind, a pool beside them, and a mean over time."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv1d(5, 9, 5, 2, 2)
        self.depthwise = nn.Conv1d(9, 9, 3, 2, 1, groups=9)
        self.dilated = nn.Conv1d(9, 9, 3, padding=2, dilation=2)
        self.head = nn.Linear(9, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu6(self.stem(x))
        x = self.depthwise(x) + functional.max_pool1d(x, 2, ceil_mode=True)
        return self.head(functional.gelu(self.dilated(x)).mean(-1))


class Skips(nn.Module):
    """A small U-Net: pools and a concatenation read what a leaky ReLU gives."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 8, 3, padding=1)
        self.c = nn.Conv2d(8, 10, 3, padding=1)
        self.up2, self.d = nn.ConvTranspose2d(10, 8, 2, 2), nn.Conv2d(16, 8, 3, padding=1)
        self.up1, self.e = nn.ConvTranspose2d(8, 6, 4, 2, 1), nn.Conv2d(12, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        a = functional.leaky_relu(self.a(x), 0.1)
        b = functional.leaky_relu(self.b(functional.max_pool2d(a, 2)), 0.1)
        c = functional.leaky_relu(self.c(functional.avg_pool2d(b, 2)), 0.1)
        d = functional.leaky_relu(self.d(torch.cat([self.up2(c), b], 1)), 0.1)
        return self.e(torch.cat([a, self.up1(d)], 1))


class Gated(nn.Module):
    """A squeeze-and-excitation block, and a layer norm that only floats have."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.down, self.up = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 1), nn.Conv2d(4, 8, 1)
        self.norm, self.head = nn.LayerNorm(8), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.hardswish(self.stem(x))
        gate = functional.adaptive_avg_pool2d(x, 1)
        x = x * functional.hardsigmoid(self.up(self.down(gate).relu()))
        return self.head(self.norm(functional.adaptive_avg_pool2d(x, 1).flatten(1)))


class Recurrent(nn.Module):
    """A GRU, whose weights stay float, between a convolution and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.gru = nn.Conv1d(5, 6, 5, 4, 2), nn.GRU(6, 7, batch_first=True)
        self.head = nn.Linear(7, 4)

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.gru(self.stem(x).relu().transpose(1, 2))
        return self.head(states.mean(1))


class Between(nn.Module):
    """Two convolutions and something between them."""

    def __init__(self, what: nn.Module) -> None:
        super().__init__()
        self.before, self.what, self.after = nn.Conv2d(3, 8, 3), what, nn.Conv2d(8, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.what(3 * self.before(x)))


class TwoReaders(nn.Module):
    """Floats with two readers in integers, the one behind a pool."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.a, self.b = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 2, 2), nn.Conv2d(8, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.stem(x))
        return self.a(x) + self.b(functional.avg_pool2d(x, 2))


def images() -> Tensor:
    """Twelve images that the networks are calibrated and compared on."""
    return torch.randn(12, 3, 16, 12, generator=torch.Generator().manual_seed(0))


def sounds() -> Tensor:
    """The same with one axis of time."""
    return torch.randn(12, 5, 40, generator=torch.Generator().manual_seed(0))


def int8(network: nn.Module, x: Tensor) -> Model:
    """The network quantized for LiteRT, with weights from a seed."""
    draw = torch.Generator().manual_seed(1)
    for parameter in network.parameters():
        with torch.no_grad():
            noise = torch.randn(parameter.shape, generator=draw)
            # a norm's weights are all one
            parameter.copy_(max(float(parameter.std(correction=0)), 0.1) * noise)
    batches = [(x, torch.zeros(len(x), dtype=torch.int64))]
    task = Task("nets", batches, batches, functional.cross_entropy, Accuracy())
    rules = get_target("litert-cpu").rules
    return run(Model(network.eval(), (x[:2],)), [QuantizeStatic(rules, task)])


@cache
def keyword() -> Model:
    """The network that several tests only look at."""
    return int8(Keyword(), sounds())


def numbers(file: Any) -> Counter[tuple[str, int, int]]:
    """How often each operator runs, with the types of its activation and of its result."""
    graph = file.subgraphs[0]
    found: Counter[tuple[str, int, int]] = Counter()
    for kind, operator in zip(kinds(file, graph), graph.operators, strict=True):
        place = 2 if kind == "TRANSPOSE_CONV" else 0
        types = [graph.tensors[i].type for i in (operator.inputs[place], operator.outputs[0])]
        found[kind, types[0], types[1]] += 1
    return found


def weighted(file: Any) -> Counter[tuple[int, int, int]]:
    """The types of activation, weight and result of convolutions and linear operators."""
    graph = file.subgraphs[0]
    found: Counter[tuple[int, int, int]] = Counter()
    for kind, operator in zip(kinds(file, graph), graph.operators, strict=True):
        if kind in WEIGHTED:
            place = 2 if kind == "TRANSPOSE_CONV" else 0
            at = (operator.inputs[place], operator.inputs[1], operator.outputs[0])
            types = [graph.tensors[i].type for i in at]
            found[types[0], types[1], types[2]] += 1
    return found
