"""A small network and what of it differs between its file and its simulation."""

from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lilliput.core import Artifact, Model, Pass, Target, Task, run
from lilliput.export import export, load


class Small(nn.Module):
    """A convolution, a depthwise one, an average and two linear layers, of 300 weights each."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 16, 3, padding=1)
        self.depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.hidden, self.head = nn.Linear(16 * 4, 32), nn.Linear(32, 6)

    def forward(self, image: Tensor) -> Tensor:
        x = functional.relu(self.depthwise(functional.relu(self.conv(image))))
        x = functional.max_pool2d(x, 2).flatten(1)
        return self.head(functional.relu(self.hidden(x)))


class Words(nn.Module):
    """A table, a norm and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(60, 32)
        self.norm, self.head = nn.LayerNorm(32), nn.Linear(32, 5)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.norm(self.table(tokens)).mean(1))


def loss(outputs: Tensor, labels: Tensor) -> Tensor:
    return functional.cross_entropy(outputs, labels)


def task_of(batches: list[tuple[Tensor, Tensor]]) -> Task:
    from lilliput.core import Accuracy

    return Task("claims", batches, batches, loss, Accuracy(), batches)


@cache
def images() -> tuple[Model, Task]:
    torch.manual_seed(0)
    draw = torch.Generator().manual_seed(1)
    batches = [
        (torch.randn(16, 4, 4, 4, generator=draw), torch.randint(6, (16,), generator=draw))
        for _ in range(2)
    ]
    return Model(Small().eval(), (batches[0][0][:2],)), task_of(batches)


@cache
def words() -> tuple[Model, Task]:
    torch.manual_seed(0)
    draw = torch.Generator().manual_seed(1)
    batches = [
        (torch.randint(60, (16, 8), generator=draw), torch.randint(5, (16,), generator=draw))
        for _ in range(2)
    ]
    return Model(Words().eval(), (batches[0][0][:2],)), task_of(batches)


def made(
    model: Model, passes: list[Pass], target: Target, folder: Path, strict: bool = False
) -> tuple[Model, Artifact]:
    small = run(model, passes)
    return small, export(small, target, folder, strict=strict)


@torch.no_grad()
def difference(model: Model, artifact: Artifact, inputs: tuple[Tensor, ...]) -> float:
    """Largest between the file and the network, as a share of the range of its outputs."""
    ours = model.module(*inputs).numpy()
    (theirs,) = load(artifact.path, artifact.format)(tuple(x.numpy() for x in inputs))
    return float(np.abs(ours - theirs).max() / np.ptp(ours))
