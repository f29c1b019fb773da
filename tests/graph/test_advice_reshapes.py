"""The oracle is the network with the other layers in place: what it costs less is what was said."""

from collections.abc import Callable

import pytest
import torch
from tests.graph.structures import Block, ResNet, build
from torch import Tensor, nn
from torch.nn.utils import parametrize

from lilliput.core import Model
from lilliput.graph import Advice, advice, cost, trace
from lilliput.prune import PruneChannels, RemoveBlocks, removable_blocks

ACTIONS = ("factorize", "separate", "shrink", "remove")


def reshapes(model: Model) -> list[Advice]:
    return [entry for entry in advice(trace(model)) if entry.action in ACTIONS]


def spent(model: Model) -> tuple[int, int]:
    rows = cost(trace(model))
    return sum(row.weight_bytes for row in rows), sum(row.macs for row in rows)


def factorized(layer: nn.Module, entry: Advice) -> nn.Module:
    rank = int(entry.text.split()[1])
    bias = layer.bias is not None
    if isinstance(layer, nn.Linear):
        first = nn.Linear(layer.in_features, rank, bias=False)
        return nn.Sequential(first, nn.Linear(rank, layer.out_features, bias=bias))
    first = type(layer)(*_like(layer, layer.in_channels, rank), bias=False)
    return nn.Sequential(first, type(layer)(rank, layer.out_channels, 1, bias=bias))


def separated(layer: nn.Module, _: Advice) -> nn.Module:
    groups, bias = layer.in_channels, layer.bias is not None
    first = type(layer)(*_like(layer, groups, groups), groups=groups, bias=False)
    return nn.Sequential(first, type(layer)(groups, layer.out_channels, 1, bias=bias))


def shrunk(layer: nn.Module, _: Advice) -> nn.Module:
    ins, outs, sizes, stride, padding, dilation = _like(
        layer, layer.in_channels, layer.out_channels
    )
    pairs = zip(padding, sizes, dilation, strict=True)
    less = tuple(p - max(0, k - 3) * d // 2 for p, k, d in pairs)
    small = tuple(min(3, k) for k in sizes)
    bias = layer.bias is not None
    return type(layer)(ins, outs, small, stride, less, dilation, layer.groups, bias=bias)


def _like(layer: nn.Module, ins: int, outs: int) -> tuple:
    return ins, outs, layer.kernel_size, layer.stride, layer.padding, layer.dilation


REPLACED: dict[str, Callable[[nn.Module, Advice], nn.Module]] = {
    "factorize": factorized,
    "separate": separated,
    "shrink": shrunk,
    "remove": lambda _block, _entry: nn.Identity(),
}


class Several(nn.Module):
    """One layer of each kind that could be another."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 24, 7, 2, 3)
        self.tall = nn.Conv2d(24, 24, (5, 1), padding=(4, 0), dilation=(2, 1), bias=False)
        self.depthwise = nn.Conv2d(24, 24, 5, padding=2, groups=24)
        self.narrow = nn.Conv2d(24, 12, 3, 2, 1)
        self.pointwise = nn.Conv2d(12, 20, 1)
        self.one, self.line = nn.Linear(16, 16), nn.Conv1d(20, 30, 5, padding=2)
        self.block = nn.Sequential(nn.Conv1d(30, 30, 3, padding=1), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        x = self.depthwise(self.tall(self.stem(x)).relu()).relu()
        x = self.pointwise(self.narrow(x)).flatten(2)
        return self.block(self.line(self.one(x)))


def several() -> Model:
    torch.manual_seed(0)
    return Model(Several().eval(), (torch.randn(2, 3, 16, 16),))


@pytest.mark.parametrize("make", ["several", "resnet", "chain", "gated MLP", "residual add"])
def test_saves_what_it_says(make: str) -> None:
    if make == "several":
        model = several()
    elif make == "resnet":
        model = Model(ResNet(2, (8, 16, 32)).eval(), (torch.randn(2, 3, 16, 16),))
    else:
        model = Model(*build(make))
    before, found = spent(model), reshapes(model)
    assert found
    with torch.no_grad():
        shape = model.module(*model.example_inputs).shape
    for entry in found:
        small = model.clone()
        layer = small.module.get_submodule(entry.name)
        small.module.set_submodule(entry.name, REPLACED[entry.action](layer, entry))
        with torch.no_grad():
            assert small.module(*small.example_inputs).shape == shape
        after = spent(small)
        assert (before[0] - after[0], before[1] - after[1]) == (entry.saved_bytes, entry.saved_macs)
        shares = [gone / whole for gone, whole in zip(entry_saved(entry), before, strict=True)]
        assert max(shares) >= 0.01


def entry_saved(entry: Advice) -> tuple[int, int]:
    return entry.saved_bytes, entry.saved_macs


def test_each_layer_gets_what_suits_it() -> None:
    given = {(entry.name, entry.action) for entry in reshapes(several())}
    assert {name for name, action in given if action == "shrink"} >= {"stem", "tall", "line"}
    assert ("tall", "separate") in given
    assert not {("depthwise", "separate"), ("depthwise", "factorize")} & given
    assert not {("pointwise", "separate"), ("one", "separate"), ("one", "shrink")} & given
    assert ("block", "remove") in given
    texts = {(e.name, e.action): e.text for e in reshapes(several())}
    assert texts["stem", "shrink"].startswith("kernel 3x3 in place of 7x7: 11.5 kB less, ")


def test_a_low_rank_is_at_most_half_the_work() -> None:
    model = several()
    macs = {row.name: row.macs for row in cost(trace(model))}
    for entry in reshapes(model):
        if entry.action == "factorize":
            left = macs[entry.name] - entry.saved_macs
            rank = int(entry.text.split()[1])
            assert left <= macs[entry.name] / 2 < left * (rank + 1) / rank


def test_blocks_that_may_go_are_those_that_can_be_removed() -> None:
    model = Model(ResNet(2, (8, 16, 32)).eval(), (torch.randn(2, 3, 8, 8),))
    names = [entry.name for entry in reshapes(model) if entry.action == "remove"]
    assert names == [
        name
        for name in removable_blocks(model)
        if isinstance(model.module.get_submodule(name), Block)
    ]
    RemoveBlocks(tuple(names))(model.clone())


def test_what_cannot_be_replaced_is_left_out() -> None:
    net = nn.Sequential(*(nn.Linear(8, 8) for _ in range(4)))
    parametrize.register_parametrization(net[0], "weight", nn.Identity())
    net[2].weight = net[1].weight  # it would still be stored
    model = Model(net, (torch.randn(2, 8),))
    assert {entry.name for entry in reshapes(model)} == {"3"}


def test_a_block_that_runs_twice_stays() -> None:
    names = [entry.name for entry in reshapes(Model(*build("two heads, shared module")))]
    assert "b" not in names


def test_whole_heads_and_groups_are_called_so() -> None:
    net = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True).eval()
    texts = [e.text for e in advice(trace(Model(net, (torch.randn(2, 5, 16),))))]
    assert any(text.startswith("1 of 2 heads fewer: ") for text in texts)
    texts = [e.text for e in advice(trace(Model(*build("grouped"))))]
    assert any(" groups fewer: " in text for text in texts)
    assert not any(" parts fewer: " in text for text in texts)


def test_small_savings_are_not_told() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 256, 3), nn.Conv2d(256, 64, 3))
    model = Model(net, (torch.randn(2, 3, 12, 12),))
    assert "0" not in {entry.name for entry in reshapes(model)}


def test_a_pruned_network_is_advised_too() -> None:
    model = Model(ResNet(2, (8, 16, 32)).eval(), (torch.randn(2, 3, 8, 8),))
    small = PruneChannels(0.5)(model)  # its padding changes, so it becomes a captured graph
    found = reshapes(small)
    assert found
    assert all(entry.name in dict(small.module.named_modules()) for entry in found)
