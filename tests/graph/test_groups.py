import pytest
import torch
from tests.graph.structures import ResNet, TwoHeads, Words, build, cbr
from torch import Tensor, nn

from lilliput.core import Model
from lilliput.graph import Site, channel_groups, remove_channels, silence_channels, trace


def groups_of(net: nn.Module, *inputs: Tensor):
    return channel_groups(trace(Model(net.eval(), inputs)))


class Sorted(nn.Module):
    """An operator whose ids nobody can follow, between two that are plain."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 6), nn.Linear(6, 5), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.sort(self.a(x), -1).values
        return self.c(self.b(x).relu())


class Strided(nn.Module):
    """Every second channel: what remains of them lies at no stride at all."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 12), nn.Linear(6, 5), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.c(self.b(self.a(x)[:, ::2]).relu())


class Mixed(nn.Module):
    """A softmax over channels, which depends on how many there are."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 6), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.a(x).softmax(-1)).softmax(-1)


def test_a_unit_holds_every_slice_of_its_channel() -> None:
    found = groups_of(nn.Sequential(cbr(3, 4), nn.Conv2d(4, 2, 1)), torch.randn(2, 3, 6, 6))
    (group,) = found.groups
    assert (group.name, group.kind, group.size) == ("0.0", "channels", 4)
    norms = ("0.1.weight", "0.1.bias", "0.1.running_mean", "0.1.running_var")
    for k, unit in enumerate(group.units):
        sites = [Site("0.0.weight", 0, k), *(Site(n, 0, k) for n in norms), Site("1.weight", 1, k)]
        assert set(unit) == set(sites)


def test_the_residual_stream_has_a_group_for_each_stage_it_grew_in() -> None:
    found = groups_of(ResNet(2, (8, 16, 32)), torch.randn(2, 3, 16, 16))
    stream = {"conv1": 8, "layer2.0.conv2": 8, "layer3.0.conv2": 16}
    inner = {f"layer{i}.{j}.conv1": 4 * 2**i for i in (1, 2, 3) for j in (0, 1)}
    assert {g.name: g.size for g in found} == stream | inner
    # what exists since the first stage lies in the middle of the padded ones
    places = {s.index for unit in found["conv1"].units for s in unit if s.tensor == "linear.weight"}
    assert places == set(range(12, 20))


def test_an_unknown_operator_costs_its_own_channels_only() -> None:
    found = groups_of(Sorted(), torch.randn(2, 4))
    assert [g.name for g in found] == ["b"]
    (skipped,) = found.skipped
    assert skipped.operator == "sort"
    assert "cannot be followed" in skipped.reason


def test_what_cannot_be_rewritten_is_left_alone_and_listed() -> None:
    found = groups_of(Strided(), torch.randn(2, 4))
    assert [g.name for g in found] == ["b"]
    assert {skipped.operator for skipped in found.skipped} == {"slice"}
    assert all("channels of a" in skipped.reason for skipped in found.skipped)


def test_only_the_softmax_that_costs_channels_is_listed() -> None:
    found = groups_of(Mixed(), torch.randn(2, 4))
    assert not found.groups
    assert len(found.skipped) == 1


def test_the_network_of_the_user_stays_where_no_size_is_written() -> None:
    net, inputs = build("two heads, shared module")
    found = channel_groups(trace(Model(net, inputs)))
    small = remove_channels(Model(net, inputs), {found.groups[0].name: [0]}, found)
    assert type(small.module) is TwoHeads
    conv = small.module.b[0]
    assert (conv.in_channels, conv.out_channels) == (7, 7)
    assert small.module.b[1].num_features == 7


def test_tied_parameters_stay_tied() -> None:
    model = Model(Words().eval(), (torch.randint(0, 11, (2, 5)),))
    small = remove_channels(model, {"head": [0, 1]}).module
    assert small.head.weight is small.embed.weight
    assert small.embed.weight.shape == (11, 6)


class Pooled(nn.Module):
    """A mask that the code repeats for every feature, and a table of positions."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.mix, self.head = nn.Embedding(7, 6), nn.Linear(6, 6), nn.Linear(6, 2)
        self.register_buffer("table", torch.arange(9) % 7)

    def forward(self, x: Tensor) -> Tensor:
        wide = (x > 2).unsqueeze(-1).expand(-1, -1, 6).float()
        x = self.mix(self.embed(self.table[x])).relu() * wide
        return self.head(x.sum(1) / wide.sum(1).clamp(min=1))


def test_a_mask_that_is_repeated_for_every_feature_follows_them() -> None:
    ids = torch.randint(0, 9, (2, 5))
    found = groups_of(Pooled(), ids)
    assert {g.name: g.size for g in found} == {"embed": 6, "mix": 6}
    assert not found.skipped
    model = found.graph.model
    drop = {"mix": [0, 4]}
    small = remove_channels(model, drop, found)
    assert {p.shape for p in small.module.parameters()} >= {(4, 6), (2, 4)}
    for batch in (1, 3):
        x = torch.randint(0, 9, (batch, 5))
        expected = silence_channels(model, drop, found).module(x)
        torch.testing.assert_close(small.module(x), expected)


@pytest.mark.parametrize(
    ("drop", "message"),
    [
        ({"0.O": [0]}, r"no channel group '0.O'.*'0.0'"),
        ({"0.0": [4]}, r"has units 0 to 3, got \[4\]"),
        ({"0.0": [-1]}, r"has units 0 to 3, got \[-1\]"),
        ({"0.0": [0, 1, 2, 3]}, "cannot remove all 4 units"),
    ],
)
def test_refuses_what_is_not_there(drop: dict[str, list[int]], message: str) -> None:
    net = nn.Sequential(cbr(3, 4), nn.Conv2d(4, 2, 1))
    with pytest.raises(ValueError, match=message):
        remove_channels(Model(net.eval(), (torch.randn(2, 3, 6, 6),)), drop)
