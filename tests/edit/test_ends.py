from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.edit.inputs import correlated, task_of
from tests.graph.structures import settle
from torch import Tensor, nn

from lilliput import recipe
from lilliput.core import Model, Pass, PassError, Task, run
from lilliput.edit import PoolFirst
from lilliput.export.onnx.format import Onnx
from lilliput.graph import capture, cost, trace
from lilliput.testing import PassContract

Tail = Callable[[Tensor], Tensor]

POOLS: dict[str, Tail] = {
    "adaptive": lambda x: F.adaptive_avg_pool2d(x, 1).flatten(1),
    "mean": lambda x: x.mean([-1, -2]),
    "kept mean": lambda x: x.mean((2, 3), keepdim=True).flatten(1),
    "fixed": lambda x: F.avg_pool2d(x, (4, 5)).flatten(1),
}


class Net(nn.Module):
    """The end of a MobileNetV3, narrow."""

    def __init__(self, act: Tail = F.hardswish, pool: Tail = POOLS["adaptive"]) -> None:
        super().__init__()
        self.body = nn.Conv2d(6, 8, 3, 2, 1)
        self.last, self.norm = nn.Conv2d(8, 24, 1, bias=False), nn.BatchNorm2d(24)
        self.act, self.pool, self.head = act, pool, nn.Linear(24, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.pool(self.act(self.norm(self.last(self.body(x).relu())))))


def made(act: Tail = F.hardswish, pool: Tail = POOLS["adaptive"]) -> Model:
    torch.manual_seed(0)
    return Model(settle(Net(act, pool)), (torch.randn(2, 6, 8, 10),))


class TestPoolFirst(PassContract):
    tasks = ("image_classifier",)

    @pytest.fixture
    def model(self, tiny: str) -> Model:
        return made()

    @pytest.fixture
    def pass_(self) -> Pass:
        return PoolFirst(("last",), task_of(correlated((4, 6, 8, 10))), 16)


@pytest.mark.parametrize("pool", list(POOLS))
def test_without_an_activation_the_outputs_are_the_same(pool: str) -> None:
    model = made(lambda x: x, POOLS[pool])
    first = run(model, [PoolFirst()])
    (x,) = model.example_inputs
    torch.testing.assert_close(first.module(x), model.module(x), rtol=1e-4, atol=1e-5)
    macs = [next(r.macs for r in cost(trace(m)) if r.name == "last") for m in (first, model)]
    assert macs[1] == 4 * 5 * macs[0]


@pytest.mark.parametrize("act", [F.relu, F.hardswish, F.silu, F.relu6])
def test_a_fit_loses_less_on_examples_it_has_not_seen(act: Tail) -> None:
    model = made(act)
    every = [10 * x / x.std() for x in correlated((8, 6, 8, 10), 24)]
    task, test = task_of(every[:16]), torch.cat(every[16:])
    lost = []
    for given in (None, task):
        first = run(model, [PoolFirst(task=given)])
        lost.append(float((first.module(test) - model.module(test)).square().mean().detach()))
    assert lost[1] < 0.5 * lost[0]


def test_the_body_and_the_head_keep_their_weights() -> None:
    model = made()
    first = run(model, [PoolFirst(task=task_of(correlated((4, 6, 8, 10))))]).module
    for name in ("body.weight", "head.weight", "norm.weight", "norm.running_var"):
        assert torch.equal(first.state_dict()[name], model.module.state_dict()[name])
    assert all(p.requires_grad and p.grad is None for p in first.parameters())


def test_captured_networks_are_edited_and_exported(tmp_path: Path) -> None:
    model = made()
    done = run(capture(model), [PoolFirst()])
    (x,) = model.example_inputs
    torch.testing.assert_close(done.module(x), run(model, [PoolFirst()]).module(x))
    Onnx().write(done, tmp_path / "first.onnx", None)
    (output,) = Onnx().load(tmp_path / "first.onnx", 1)((x.numpy(),))
    np.testing.assert_allclose(output, done.module(x).detach().numpy(), rtol=1e-4, atol=1e-5)


def test_names_what_does_not_stand_before_global_pooling() -> None:
    with pytest.raises(PassError, match=r"'body' is no convolution .*; known: last"):
        run(made(), [PoolFirst(("body",))])
    halves = made(pool=lambda x: F.avg_pool2d(x, (4, 2)).mean((2, 3)))
    with pytest.raises(PassError, match=r"'last' is no convolution .*; known: none"):
        run(halves, [PoolFirst(("last",))])


def test_a_network_without_such_an_end_stays() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Flatten()).eval()
    model = Model(net, (torch.randn(1, 3, 4, 4),))
    assert type(run(model, [PoolFirst()]).module) is nn.Sequential


def test_recipes_say_it() -> None:
    task: Task = task_of(correlated((4, 6, 8, 10)))
    passes = (PoolFirst(("last",), task, 16),)
    assert recipe.read(recipe.write(passes), task) == passes
