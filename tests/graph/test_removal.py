"""Removal against two oracles: the same channels zeroed, and a network built by hand."""

import copy
import math
import os
import pickle
import random
from pathlib import Path

import pytest
import torch
from tests.graph.structures import STRUCTURES, ResNet, build
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from lilliput.core import Model
from lilliput.graph import channel_groups, is_captured, remove_channels, silence_channels, trace


def zeroed(net: nn.Module, groups, drop) -> nn.Module:
    """The network with every site of the dropped units set to zero."""
    net = copy.deepcopy(net)
    tensors = {**dict(net.named_parameters(remove_duplicate=False)), **dict(net.named_buffers())}
    with torch.no_grad():
        for name, units in drop.items():
            for site in (site for k in units for site in groups[name].units[k]):
                value = 1.0 if site.tensor.endswith("running_var") else 0.0
                tensors[site.tensor].select(site.axis, site.index).fill_(value)
    return net


def some(groups, share: float = 0.4, seed: int = 0, kind: str = "channels"):
    chance = random.Random(seed)
    wanted = [g for g in groups if g.kind == kind]
    return {g.name: chance.sample(range(g.size), max(1, int(g.size * share))) for g in wanted}


def numbers(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def more(inputs: tuple[Tensor, ...], batch: int) -> tuple[Tensor, ...]:
    """Other inputs, as many as asked for."""
    return tuple(
        torch.randn(batch, *x.shape[1:])
        if x.is_floating_point()
        else torch.randint(0, 11, (batch, *x.shape[1:]))
        for x in inputs
    )


def assert_same(a, b) -> None:
    for x, y in zip(tree_leaves(a), tree_leaves(b), strict=True):
        torch.testing.assert_close(x, y, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", list(STRUCTURES))
def test_removal_equals_zeroing(name: str) -> None:
    net, inputs = build(name)
    model = Model(net, inputs)
    before = copy.deepcopy(net.state_dict())
    groups = channel_groups(trace(model))
    assert groups.groups
    assert not groups.skipped
    drop = some(groups)
    small = remove_channels(model, drop, groups)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    for batch in (1, 5):
        x = more(inputs, batch)
        assert_same(small.module.eval()(*x), zeroed(net, groups, drop)(*x))
    assert_same(small.module(*inputs), silence_channels(model, drop, groups).module(*inputs))
    assert numbers(small.module) == numbers_left(net, groups, drop) < numbers(net)
    assert_trains(small.module, inputs)
    assert_is_pruned_again(small, groups, drop)


def numbers_left(net: nn.Module, groups, drop) -> int:
    """Parameters after removal, counted from the sites."""
    gone = {site for name in drop for k in drop[name] for site in groups[name].units[k]}
    sizes = {}
    for tensor, value in net.named_parameters(remove_duplicate=False):
        lost = [
            len({s.index for s in gone if (s.tensor, s.axis) == (tensor, axis)})
            for axis in range(value.dim())
        ]
        left = [size - n for size, n in zip(value.shape, lost, strict=True)]
        sizes[id(value)] = min(torch.Size(left).numel(), sizes.get(id(value), value.numel()))
    return sum(sizes.values())


def assert_trains(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    module = copy.deepcopy(module).train()
    sum(y.float().pow(2).sum() for y in tree_leaves(module(*more(inputs, 3)))).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())


def assert_is_pruned_again(small: Model, groups, drop) -> None:
    again = {g.name: g.size for g in channel_groups(trace(small))}
    left = {g.name: g.size - len(drop.get(g.name, ())) for g in groups}
    assert again == {name: size for name, size in left.items() if size > 1}


class Gate(nn.Module):
    """A layer whose output is split at once."""

    def __init__(self, split) -> None:
        super().__init__()
        self.inner, self.out, self.split = nn.Linear(6, 16), nn.Linear(8, 3), split

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.split(self.inner(x))
        return self.out(gate.sigmoid() * value)


class Scaled(nn.Module):
    """Attention whose code takes the root of a width that pruning changes."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(10, n) for n in (16, 16, 12))
        self.out = nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        q, k = self.q(x), self.k(x)
        scores = q @ k.transpose(1, 2) / math.sqrt(q.size(-1))
        return self.out(scores.softmax(-1) @ self.v(x))


@pytest.mark.parametrize(
    "split", [lambda y: y.split(8, 1), lambda y: torch.split(y, [8, 8], 1)], ids=["size", "sizes"]
)
def test_a_layer_that_is_split_at_once_loses_channels(split) -> None:
    torch.manual_seed(0)
    assert_removal_equals_zeroing(Gate(split).eval(), torch.randn(2, 6))


def test_a_width_that_the_code_computes_with_stays_in_the_result() -> None:
    torch.manual_seed(0)
    net = Scaled().eval()
    with torch.no_grad():
        net.q.weight.mul_(4)
    assert_removal_equals_zeroing(net, torch.randn(2, 6, 10))


def assert_removal_equals_zeroing(net: nn.Module, x: Tensor) -> None:
    model = Model(net, (x,))
    groups = channel_groups(trace(model))
    drop = some(groups)
    assert drop
    small = remove_channels(model, drop, groups)
    assert_same(small.module(x), zeroed(net, groups, drop)(x))
    assert numbers(small.module) < numbers(net)


def test_what_became_a_graph_survives_a_pickle() -> None:
    net, inputs = build("channel shuffle")
    model = Model(net, inputs)
    small = remove_channels(model, some(channel_groups(trace(model)))).module.eval()
    assert is_captured(small)
    again = pickle.loads(pickle.dumps(small))  # noqa: S301
    assert_same(again(*inputs), small(*inputs))


@pytest.mark.slow
@pytest.mark.skipif("LILLIPUT_DATA" not in os.environ, reason="needs LILLIPUT_DATA")
@pytest.mark.parametrize(("name", "blocks"), [("resnet20", 3), ("resnet56", 9)])
def test_given_resnets_lose_channels_exactly(name: str, blocks: int) -> None:
    from safetensors.torch import load_file

    net = ResNet(blocks)
    folder = Path(os.environ["LILLIPUT_DATA"]) / "cifar-resnets"
    net.load_state_dict(load_file(folder / f"{name}.safetensors"))
    model = Model(net.eval(), (torch.randn(2, 3, 32, 32),))
    groups = channel_groups(trace(model))
    assert len(groups.groups) == 3 * blocks + 3
    drop = some(groups)
    x = torch.randn(5, 3, 32, 32)
    small = remove_channels(model, drop).module.eval()
    torch.testing.assert_close(small(x), zeroed(net, groups, drop)(x), rtol=1e-4, atol=1e-4)
