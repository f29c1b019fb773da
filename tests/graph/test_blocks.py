"""Whole blocks are found as their author drew them, whatever runs inside them or around them."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from lilliput.core import Model
from lilliput.graph import advice, capture, trace
from lilliput.graph.blocks import removable_blocks


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.read, self.write = nn.Linear(8, 24), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.read(x).chunk(3, -1)
        return self.write(functional.scaled_dot_product_attention(query, key, value))


class Layer(nn.Module):
    """A layer of a vision transformer; `is_pre` puts its norms first."""

    def __init__(self, is_pre: bool = True) -> None:
        super().__init__()
        self.attn, self.norm1, self.norm2 = Attention(), nn.LayerNorm(8), nn.LayerNorm(8)
        self.mlp = nn.Sequential(nn.Linear(8, 32), nn.GELU(), nn.Linear(32, 8))
        self.is_pre = is_pre

    def forward(self, x: Tensor) -> Tensor:
        if self.is_pre:
            x = x + self.attn(self.norm1(x))
            return x + self.mlp(self.norm2(x))
        x = self.norm1(x + self.attn(x))
        return self.norm2(x + self.mlp(x))


class Tower(nn.Module):
    """Layers in a list, with a norm after."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers, self.norm = nn.ModuleList(layers), nn.LayerNorm(8)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)


class Gate(nn.Module):
    """Squeeze and excitation."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(4, 2, 1), nn.Conv2d(2, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.up(self.down(x.mean((2, 3), keepdim=True)).relu()).sigmoid()


class Gated(nn.Module):
    """A residual block with a gate, that adds in place as torchvision's do."""

    def __init__(self, stride: int = 1) -> None:
        super().__init__()
        self.conv, self.bn, self.se = nn.Conv2d(4, 4, 3, stride, 1), nn.BatchNorm2d(4), Gate()
        self.shortcut = nn.Conv2d(4, 4, 1, stride) if stride > 1 else nn.Identity()
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        out = self.se(self.bn(self.conv(x)))
        out += self.shortcut(x)
        return self.relu(out)


class Plus(nn.Module):
    """Adds what one part makes of the input."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inner(x)


def convolutions() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(4, 4, 3, 1, 1), nn.BatchNorm2d(4), nn.ReLU())


def blocks_of(*parts: nn.Module) -> tuple[str, ...]:
    sizes = (2, 5, 8) if isinstance(parts[0], nn.Linear) else (2, 4, 8, 8)
    return removable_blocks(Model(nn.Sequential(*parts).eval(), (torch.randn(sizes),)))


@pytest.mark.parametrize("is_pre", [True, False])
def test_layers_of_transformers_are_blocks_not_their_attention(is_pre: bool) -> None:
    layers = [Layer(is_pre), Layer(is_pre), Layer(is_pre)]
    assert blocks_of(nn.Linear(8, 8), Tower(*layers)) == ("1.layers.0", "1.layers.1", "1.layers.2")
    assert blocks_of(nn.Linear(8, 8), layers[0]) == ("1",)


def test_a_part_that_is_residual_itself_but_holds_few_weights_is_no_block() -> None:
    layer = nn.Sequential(Plus(Attention()), nn.Linear(8, 64), nn.GELU(), nn.Linear(64, 8))
    assert blocks_of(nn.Linear(8, 8), layer) == ("1",)


def test_residual_blocks_are_blocks_not_their_gates() -> None:
    stem, head = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 2, 1)
    assert blocks_of(stem, Gated(), Gated(2), Gated(), head) == ("1", "3")
    assert blocks_of(stem, nn.Sequential(Gated(2), Gated()), head) == ("1.1",)


def test_stages_give_way_to_their_blocks() -> None:
    stages = [nn.Sequential(Gated(), Gated()), nn.Sequential(Gated())]
    assert blocks_of(nn.Conv2d(4, 4, 1), *stages) == ("1.0", "1.1", "2.0")


def test_what_a_shortcut_leads_around_is_a_part() -> None:
    inner = nn.Sequential(convolutions(), convolutions())
    assert blocks_of(nn.Conv2d(4, 4, 1), Plus(inner)) == ("1",)
    assert blocks_of(nn.Conv2d(4, 4, 1), inner) == ("1.0", "1.1")


def test_a_shortcut_around_the_network_makes_no_part_of_its_blocks() -> None:
    net = Plus(nn.Sequential(Plus(convolutions()), Plus(convolutions())))
    inputs = (torch.randn(2, 4, 8, 8),)
    assert removable_blocks(Model(net.eval(), inputs)) == ("inner.0", "inner.1")


class Summed(nn.Module):
    """Sums, or products, that the network's own code makes around its parts."""

    def __init__(self, step: Callable[[nn.Module, nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.stem, self.norm, self.step = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), step
        self.parts = nn.ModuleList([convolutions(), nn.Sequential(convolutions())])

    def forward(self, x: Tensor) -> Tensor:
        first = x = self.stem(x)
        for part in self.parts:
            x = self.step(part, self.norm, x)
        return x + first


@pytest.mark.parametrize(
    "step",
    [
        lambda part, norm, x: x + part(x),
        lambda part, norm, x: x + 0.1 * part(norm(x)),
        lambda part, norm, x: norm(part(x)) + x,
        lambda part, norm, x: x * part(x).sigmoid(),
        lambda part, norm, x: x.clone().add_(part(x)),
    ],
)
def test_what_the_network_adds_to_its_input_cannot_be_passed_through(step) -> None:
    inputs = (torch.randn(2, 4, 8, 8),)
    assert removable_blocks(Model(Summed(step).eval(), inputs)) == ()
    plain = Summed(lambda part, norm, x: part(x))
    assert removable_blocks(Model(plain.eval(), inputs)) == ("parts.0", "parts.1.0")


def test_an_encoder_of_two_gives_way_to_the_layer_that_can_go() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    encoder = nn.TransformerEncoder(layer, 2)
    assert blocks_of(nn.Linear(8, 8), encoder) == ("1.layers.1",)


def test_layers_that_get_named_arguments_can_go() -> None:
    """But the first, into which PyTorch's encoder looks."""
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    encoder = nn.TransformerEncoder(layer, 3, nn.LayerNorm(8))
    assert blocks_of(nn.Linear(8, 8), encoder) == ("1.layers.1", "1.layers.2")


class Looks(nn.Module):
    """Reads a weight of one of its blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = (nn.Sequential(nn.Linear(8, 8), nn.ReLU()) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.a(x) * self.a[0].weight.abs().mean())


def test_what_the_network_looks_into_stays_and_is_put_back() -> None:
    net = Looks().eval()
    a, b = net.a, net.b
    assert removable_blocks(Model(net, (torch.randn(2, 8),))) == ("b",)
    assert net.a is a
    assert net.b is b


class Rounds(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.mix(x).long()


def test_what_gives_another_kind_of_number_stays() -> None:
    assert blocks_of(nn.Linear(8, 8), Rounds()) == ()


def test_advises_to_remove_what_can_go() -> None:
    torch.manual_seed(0)
    for parts, sizes in (
        ((nn.Linear(8, 8), Tower(Layer(), Layer())), (2, 5, 8)),
        ((nn.Conv2d(4, 4, 1), Gated(), Gated(2), Gated()), (2, 4, 8, 8)),
    ):
        model = Model(nn.Sequential(*parts).eval(), (torch.randn(sizes),))
        found = [e.name for e in advice(trace(model)) if e.action == "remove"]
        assert found == list(removable_blocks(model)) != []


def test_a_captured_network_has_no_blocks() -> None:
    model = Model(nn.Sequential(nn.Conv2d(4, 4, 1), Gated()).eval(), (torch.randn(2, 4, 8, 8),))
    assert removable_blocks(capture(model)) == ()
