"""Where zeroing is not removing: the network is rebuilt by hand, narrower, from sliced weights."""

import pytest
import torch
import torch.nn.functional as F
from tests.graph.structures import settle
from tests.graph.test_removal import assert_same, assert_trains, more
from torch import Tensor, nn

from lilliput.core import Model
from lilliput.graph import channel_groups, remove_channels, trace


class LayerNorms(nn.Module):
    """A residual stream under LayerNorm."""

    def __init__(self, dim: int = 8, hidden: int = 10) -> None:
        super().__init__()
        self.embed, self.norm = nn.Linear(3, dim), nn.LayerNorm(dim)
        self.up, self.down = nn.Linear(dim, hidden), nn.Linear(hidden, dim)
        self.last, self.head = nn.LayerNorm(dim, bias=False), nn.Linear(dim, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        x = x + self.down(F.gelu(self.up(self.norm(x))))
        return self.head(self.last(x))


class RootMeanSquare(nn.Module):
    """The norm of Llama, written out."""

    def __init__(self, dim: int = 8) -> None:
        super().__init__()
        self.embed, self.head = nn.Linear(3, dim), nn.Linear(dim, 2)
        self.weight = nn.Parameter(torch.rand(dim))

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        x = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)
        return self.head(x * self.weight)


class GroupNorms(nn.Module):
    def __init__(self, width: int = 12, groups: int = 3) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, width, 3), nn.GroupNorm(groups, width)
        self.head = nn.Conv2d(width, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.norm(self.conv(x))))


class Attention(nn.Module):
    """Attention written out, query, key and value from one linear layer."""

    def __init__(
        self,
        dim: int = 8,
        heads: int = 4,
        width: int = 3,
        scale: float | None = 3**-0.5,
        is_fused: bool = False,
    ) -> None:
        super().__init__()
        self.heads, self.width, self.scale, self.is_fused = heads, width, scale, is_fused
        self.embed = nn.Linear(3, dim)
        self.qkv = nn.Linear(dim, 3 * heads * width)
        self.bias = nn.Parameter(torch.randn(heads, 1, 1))
        self.out, self.head = nn.Linear(heads * width, dim), nn.Linear(dim, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        b, t, _ = x.shape
        qkv = self.qkv(x).reshape(b, t, 3, self.heads, self.width).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        if self.is_fused:
            bias = self.bias.expand(-1, t, t)
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=self.scale)
        else:
            y = (self.scale * q @ k.transpose(-2, -1) + self.bias).softmax(-1) @ v
        return self.head(x + self.out(y.transpose(1, 2).reshape(b, t, -1)))


class Torch(nn.Module):
    """PyTorch's own attention and transformer layer."""

    def __init__(self, dim: int = 8, hidden: int = 10, is_masked: bool = False) -> None:
        super().__init__()
        self.embed = nn.Linear(3, dim)
        mask = torch.ones(5, 5).triu(1).bool() if is_masked else None
        self.register_buffer("mask", mask)
        self.attention = nn.MultiheadAttention(dim, 2, batch_first=True)
        self.layer = nn.TransformerEncoderLayer(dim, 2, hidden, batch_first=True)
        self.head = nn.Linear(dim, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        x = x + self.attention(x, x, x, attn_mask=self.mask)[0]
        return self.head(self.layer(x, self.mask).mean(1))


def tokens() -> tuple[Tensor, ...]:
    return (torch.randn(2, 5, 3),)


def cut(model: Model, drop: dict[str, list[int]]) -> nn.Module:
    found = channel_groups(trace(model))
    assert not found.skipped
    small = remove_channels(model, drop, found)
    assert_trains(small.module, model.example_inputs)
    assert not channel_groups(trace(small)).skipped
    return small.module.eval()


def sizes(model: Model) -> dict[str, int]:
    return {group.name: group.size for group in channel_groups(trace(model))}


def load(net: nn.Module, source: nn.Module, slices: dict[str, dict[int, list[int]]]) -> nn.Module:
    """Fills the smaller network with the slices that stay, axis by axis."""
    state = source.state_dict()
    for name, axes in slices.items():
        for axis, indices in axes.items():
            state[name] = state[name].index_select(axis, torch.tensor(indices))
    net.load_state_dict(state)
    return net.eval()


def but(size: int, *gone: int) -> list[int]:
    return [i for i in range(size) if i not in gone]


def test_layer_norm_sees_the_channels_that_remain() -> None:
    torch.manual_seed(0)
    net = settle(LayerNorms())
    model = Model(net, tokens())
    assert sizes(model) == {"embed": 8, "up": 10}
    small = cut(model, {"embed": [1, 5], "up": [0]})
    stream, hidden = but(8, 1, 5), but(10, 0)
    expected = load(
        LayerNorms(6, 9),
        net,
        {
            **{
                f"{n}.{p}": {0: stream}
                for n in ("embed", "down", "norm")
                for p in ("weight", "bias")
            },
            "last.weight": {0: stream},
            "up.weight": {0: hidden, 1: stream},
            "up.bias": {0: hidden},
            "down.weight": {0: stream, 1: hidden},
            "head.weight": {1: stream},
        },
    )
    x = more(model.example_inputs, 4)
    assert_same(small(*x), expected(*x))


def test_a_norm_written_out_sees_the_channels_that_remain() -> None:
    torch.manual_seed(0)
    net = RootMeanSquare().eval()
    model = Model(net, tokens())
    assert sizes(model) == {"embed": 8}
    small = cut(model, {"embed": [0, 3]})
    left = but(8, 0, 3)
    slices = {"embed.weight": {0: left}, "embed.bias": {0: left}, "weight": {0: left}}
    expected = load(RootMeanSquare(6), net, {**slices, "head.weight": {1: left}})
    x = more(model.example_inputs, 4)
    assert_same(small(*x), expected(*x))


@pytest.mark.parametrize("kind", ["channels", "parts"])
def test_group_norm_keeps_its_groups_even(kind: str) -> None:
    torch.manual_seed(0)
    net = settle(GroupNorms())
    model = Model(net, (torch.randn(2, 3, 6, 6),))
    assert sizes(model) == {"conv": 4, "conv:parts": 3}
    if kind == "channels":  # the second of each group of four
        small, left, form = cut(model, {"conv": [1]}), but(12, 1, 5, 9), (9, 3)
    else:  # the whole second group
        small, left, form = cut(model, {"conv:parts": [1]}), but(12, 4, 5, 6, 7), (8, 2)
    slices = {f"{n}.{p}": {0: left} for n in ("conv", "norm") for p in ("weight", "bias")}
    expected = load(GroupNorms(*form), net, {**slices, "head.weight": {1: left}})
    x = more(model.example_inputs, 3)
    assert_same(small(*x), expected(*x))


@pytest.mark.parametrize("is_fused", [False, True])
def test_heads_and_their_width(is_fused: bool) -> None:
    torch.manual_seed(0)
    net = Attention(is_fused=is_fused).eval()
    model = Model(net, tokens())
    assert sizes(model) == {"embed": 8, "qkv": 3, "qkv:parts": 4}
    small = cut(model, {"embed": [7], "qkv": [1], "qkv:parts": [2]})
    stream = but(8, 7)
    out = [3 * head + i for head in but(4, 2) for i in but(3, 1)]
    qkv = [12 * part + i for part in range(3) for i in out]
    expected = load(
        Attention(7, 3, 2, is_fused=is_fused),
        net,
        {
            "embed.weight": {0: stream},
            "embed.bias": {0: stream},
            "qkv.weight": {0: qkv, 1: stream},
            "qkv.bias": {0: qkv},
            "bias": {0: but(4, 2)},
            "out.weight": {0: stream, 1: out},
            "out.bias": {0: stream},
            "head.weight": {1: stream},
        },
    )
    x = more(model.example_inputs, 4)
    assert_same(small(*x), expected(*x))


def test_attention_without_a_scale_keeps_the_one_it_was_trained_with() -> None:
    torch.manual_seed(0)
    net = Attention(is_fused=True, scale=None).eval()
    model = Model(net, tokens())
    small = cut(model, {"qkv": [1]})
    explicit = Model(Attention(is_fused=True).eval(), model.example_inputs)
    explicit.module.load_state_dict(net.state_dict())
    x = more(model.example_inputs, 4)
    assert_same(small(*x), cut(explicit, {"qkv": [1]})(*x))


@pytest.mark.parametrize("is_masked", [False, True])
def test_the_attention_of_torch(is_masked: bool) -> None:
    """Rebuilt from plain functions, with the stream, head width, heads and hidden width all cut."""
    torch.manual_seed(0)
    net = settle(Torch(is_masked=is_masked))
    model = Model(net, tokens())
    names = ("attention", "layer.self_attn")
    assert sizes(model) == {
        "embed": 8,
        **dict.fromkeys(names, 4),
        "layer.linear1": 10,
        **dict.fromkeys([f"{n}:parts" for n in names], 2),
    }
    drop = {"embed": [2, 3], "layer.linear1": [9]}
    drop |= {"attention": [0], "layer.self_attn": [3], "layer.self_attn:parts": [1]}
    small = cut(model, drop)
    x = more(model.example_inputs, 4)
    stream, state = but(8, 2, 3), net.state_dict()
    heads = {"attention": [[1, 2, 3], [5, 6, 7]], "layer.self_attn": [[0, 1, 2]]}
    mask = net.mask if is_masked else None

    def attend(name: str, y: Tensor) -> Tensor:
        total = 0
        for rows in heads[name]:
            parts = [torch.tensor(rows) + 8 * part for part in range(3)]
            weight, bias = state[f"{name}.in_proj_weight"], state[f"{name}.in_proj_bias"]
            q, k, v = (y @ weight[p][:, stream].T + bias[p] for p in parts)
            score = q @ k.transpose(-2, -1) / 2  # the square root of 4, the width before
            score = score if mask is None else score.masked_fill(mask, -torch.inf)
            total = (
                total + score.softmax(-1) @ v @ state[f"{name}.out_proj.weight"][stream][:, rows].T
            )
        return total + state[f"{name}.out_proj.bias"][stream]

    def norm(name: str, y: Tensor) -> Tensor:
        weight, bias = state[f"{name}.weight"][stream], state[f"{name}.bias"][stream]
        return F.layer_norm(y, (6,), weight, bias)

    y = x[0] @ state["embed.weight"][stream].T + state["embed.bias"][stream]
    y = y + attend("attention", y)
    y = norm("layer.norm1", y + attend("layer.self_attn", y))
    hidden = y @ state["layer.linear1.weight"][:9][:, stream].T + state["layer.linear1.bias"][:9]
    z = hidden.relu() @ state["layer.linear2.weight"][stream][:, :9].T
    y = norm("layer.norm2", y + z + state["layer.linear2.bias"][stream])
    expected = y.mean(1) @ state["head.weight"][:, stream].T + state["head.bias"]
    assert_same(small(*x), expected)
