"""Fisher's weights against its activations."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from lilliput.core import Accuracy, Model, Task
from lilliput.graph import channel_groups, trace
from lilliput.prune import Fisher
from lilliput.testing import TINY_TASKS, learned


class Chain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.norm = nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6)
        self.b, self.c = nn.Conv2d(6, 4, 1), nn.Conv2d(6, 4, 1, stride=2)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.a(x)).relu()
        return self.head((self.b(x).mean((2, 3)) + self.c(x).mean((2, 3))).relu())


def test_is_half_the_mean_squared_slope_of_a_factor_on_the_channels() -> None:
    torch.manual_seed(0)
    x, labels = torch.randn(12, 3, 6, 6), torch.randint(0, 3, (12,))
    batches = [(x[:8], labels[:8]), (x[8:], labels[8:])]
    task = Task("t", batches, batches, functional.cross_entropy, Accuracy())
    model = Model(Chain().eval(), (x[:2],))
    total = torch.zeros(6)
    for k in range(10):
        net = model.module
        read = net.norm(net.a(x[k : k + 1])).relu()
        y = net.head((net.b(read).mean((2, 3)) + net.c(read).mean((2, 3))).relu())
        (slope,) = torch.autograd.grad(functional.cross_entropy(y, labels[k : k + 1]), read)
        total += (read * slope).sum((0, 2, 3)).detach().square() / 2
    group = channel_groups(trace(model))["a"]
    scores = Fisher(task, samples=10)(model, [group])["a"]
    torch.testing.assert_close(scores, total / total.mean())


@pytest.mark.parametrize("tiny", list(TINY_TASKS))
def test_scores_every_group_of_every_tiny_network(tiny: str) -> None:
    model, task = TINY_TASKS[tiny]()
    groups = channel_groups(trace(model)).groups
    scores = Fisher(task, samples=3)(model, groups)
    assert all(scores[g.name].shape == (g.size,) and scores[g.name].max() > 0 for g in groups)


def test_ranks_units_by_what_their_absence_costs() -> None:
    """The order is near that of the loss with each unit silenced."""
    from lilliput.graph import silence_channels

    model, task = TINY_TASKS["two_output_regressor"]()
    model = learned(model, task)
    found = channel_groups(trace(model))
    group = found["body.0"]
    scores = Fisher(task, samples=128)(model, [group])["body.0"]

    def loss(trial: Model) -> float:
        with torch.no_grad():
            return sum(float(task.loss(trial.module(*x), y)) for x, y in task.first("train", 128))

    costs = torch.tensor([loss(silence_channels(model, {"body.0": [k]}, found)) for k in range(24)])
    ranks = [x.argsort().argsort().float() for x in (scores, costs)]
    assert torch.corrcoef(torch.stack(ranks))[0, 1] > 0.6
