"""The oracles: torch's own counter, which counts 2 FLOPs for each MAC, and hand formulas."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.utils import parametrize
from torch.utils.flop_counter import FlopCounterMode

from lilliput.core import Model
from lilliput.graph import LayerCost, capture, cost, trace
from lilliput.testing import TINY_TASKS


def counted_macs(model: Model) -> int:
    """Half of what torch counts for one example.

    The fast path and fused attention hide their products from the counter, so both are off.
    """
    inputs = tuple(x[:1] for x in model.example_inputs)
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH), torch.no_grad(), FlopCounterMode(display=False) as mode:
            model.module(*inputs)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    return mode.get_total_flops() // 2


def costs(module: nn.Module, *inputs: Tensor) -> dict[str, LayerCost]:
    rows = cost(trace(Model(module.eval(), inputs)))
    assert len({row.name for row in rows}) == len(rows)
    return {row.name: row for row in rows}


def total(rows: tuple[LayerCost, ...], field: str) -> int:
    return sum(getattr(row, field) for row in rows)


class Attention(nn.Module):
    """Products of activations written in every way that torch has."""

    def forward(self, x: Tensor) -> Tensor:
        scores = torch.softmax(x @ x.transpose(1, 2), -1)
        mixed = torch.bmm(scores, x)
        added = torch.baddbmm(mixed, scores, x)
        return torch.matmul(added.unsqueeze(1), x.unsqueeze(1).transpose(2, 3))


class Shared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.conv(x))


IMAGE, TOKENS = torch.randn(2, 8, 12, 12), torch.randn(2, 7, 16)
NETS: dict[str, tuple[Callable[[], nn.Module], Tensor]] = {
    "convolution": (lambda: nn.Conv2d(8, 6, 3, 2, 1), IMAGE),
    "grouped": (lambda: nn.Conv2d(8, 12, (3, 1), groups=4, dilation=2), IMAGE),
    "depthwise": (lambda: nn.Conv2d(8, 16, 5, groups=8, padding="same"), IMAGE),
    "one dimension": (lambda: nn.Conv1d(7, 5, 3), TOKENS),
    "three dimensions": (lambda: nn.Conv3d(8, 5, (1, 3, 3)), IMAGE.unsqueeze(2)),
    "transposed": (lambda: nn.ConvTranspose2d(8, 6, 3, 2, output_padding=1), IMAGE),
    "transposed in groups": (lambda: nn.ConvTranspose2d(8, 6, 3, groups=2), IMAGE),
    "linear over tokens": (lambda: nn.Linear(16, 5), TOKENS),
    "bilinear products": (Attention, TOKENS),
    "attention": (lambda: nn.TransformerEncoderLayer(16, 4, 24, batch_first=True), TOKENS),
    "a layer called twice": (Shared, IMAGE[:, :3]),
}


@pytest.mark.parametrize("name", NETS)
def test_macs_are_half_of_what_torch_counts(name: str) -> None:
    make, x = NETS[name]
    model = Model(make().eval(), (x,))
    assert total(cost(trace(model)), "macs") == counted_macs(model) > 0


@pytest.mark.parametrize("tiny", TINY_TASKS)
def test_macs_and_parameters_agree_with_torch_on_every_task(tiny: str) -> None:
    model, _ = TINY_TASKS[tiny]()
    rows = cost(trace(model))
    assert total(rows, "macs") == counted_macs(model)
    assert total(rows, "parameters") == sum(p.numel() for p in model.module.parameters())


@pytest.mark.parametrize("tiny", TINY_TASKS)
def test_a_captured_network_costs_the_same(tiny: str) -> None:
    model, _ = TINY_TASKS[tiny]()
    own, captured = cost(trace(model)), cost(trace(capture(model)))
    key = [(row.name, row.parameters, row.macs, row.weight_bytes) for row in own if row.parameters]
    assert [
        (row.name, row.parameters, row.macs, row.weight_bytes) for row in captured if row.parameters
    ] == key
    assert total(own, "macs") == total(captured, "macs")


@settings(max_examples=10, deadline=None)
@given(
    st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3)),
    st.integers(1, 4),
    st.integers(1, 3),
    st.booleans(),
)
def test_convolution_macs_follow_the_formula(
    widths: tuple[int, int, int], kernel: int, stride: int, is_transposed: bool
) -> None:
    groups, inputs, outputs = widths
    make = nn.ConvTranspose2d if is_transposed else nn.Conv2d
    layer = make(groups * inputs, groups * outputs, kernel, stride, groups=groups)
    x = torch.randn(2, groups * inputs, 6, 6)
    y = layer(x)
    pixels = x[0, 0].numel() if is_transposed else y[0, 0].numel()
    row = costs(nn.Sequential(layer), x)["0"]
    assert row.macs == pixels * groups * inputs * outputs * kernel**2


def test_macs_are_for_one_example_whatever_the_batch() -> None:
    net = nn.Sequential(nn.Conv2d(8, 4, 3), nn.Flatten(), nn.Linear(400, 3))
    rows = [costs(net, torch.randn(batch, 8, 12, 12)) for batch in (1, 2, 5)]
    assert rows[0] == rows[1] == rows[2]


def test_a_network_of_a_fixed_batch_is_counted_for_one_example_too() -> None:
    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(x.reshape(6, 4))

    assert costs(Fixed(), torch.randn(6, 4))["fc"].macs == 12


def test_bytes_of_a_small_net_by_hand() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten())
    rows = costs(net, torch.randn(1, 3, 6, 6))
    image, out = 3 * 6 * 6 * 4, 4 * 4 * 4 * 4
    assert list(rows) == ["0", "1", "2"]  # flatten is a view and costs nothing
    assert rows["0"] == LayerCost("0", "conv2d", 112, 4 * 16 * 27, 448, image + 448 + out)
    # scale and shift are parameters, mean and variance are buffers
    assert rows["1"] == LayerCost("1", "batch_norm", 8, 0, 64, out + 64 + out)
    assert rows["2"] == LayerCost("2", "relu", 0, 0, 0, out + out)


def test_an_embedding_moves_the_rows_it_reads_and_multiplies_nothing() -> None:
    net = nn.Sequential(nn.Embedding(1000, 8))
    row = costs(net, torch.zeros(2, 5, dtype=torch.int64))["0"]
    assert row == LayerCost("0", "embedding", 8000, 0, 32000, 5 * 8 + 2 * 5 * 8 * 4)


def test_half_precision_takes_half_the_bytes() -> None:
    x = torch.randn(2, 16)
    single, half = nn.Sequential(nn.Linear(16, 8)), nn.Sequential(nn.Linear(16, 8)).bfloat16()
    one, two = costs(single, x)["0"], costs(half, x.bfloat16())["0"]
    assert (one.weight_bytes, one.moved_bytes) == (2 * two.weight_bytes, 2 * two.moved_bytes)
    assert one.macs == two.macs


def test_a_layer_called_twice_weighs_once_and_computes_twice() -> None:
    rows = costs(Shared(), torch.randn(1, 3, 8, 8))
    assert (rows["conv"].parameters, rows["conv@1"].parameters) == (84, 0)
    assert rows["conv"].macs == rows["conv@1"].macs == 64 * 81


def test_tied_weights_weigh_once() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens, self.head = nn.Embedding(20, 8), nn.Linear(8, 20, bias=False)
            self.head.weight = self.tokens.weight

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.tokens(x))

    rows = cost(trace(Model(Tied(), (torch.zeros(2, 3, dtype=torch.int64),))))
    assert total(rows, "parameters") == 160
    assert total(rows, "macs") == 3 * 160


class Mask(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mask", torch.ones(8, 16))

    def forward(self, weight: Tensor) -> Tensor:
        return weight * self.mask


def test_a_parametrized_weight_belongs_to_its_layer() -> None:
    layer = nn.Linear(16, 8, bias=False)
    parametrize.register_parametrization(layer, "weight", Mask())
    rows = cost(trace(Model(nn.Sequential(layer), (torch.randn(2, 16),))))
    assert [(row.name, row.parameters, row.macs) for row in rows] == [("0", 128, 128)]


@pytest.mark.parametrize("bits", [8, 4])
def test_a_quantized_weight_weighs_what_is_stored(bits: int) -> None:
    class Quantized(nn.Module):
        def forward(self, weight: Tensor) -> Tensor:
            scale, zero = torch.ones(8), torch.zeros(8, dtype=torch.int32)
            low, high = -(2 ** (bits - 1)) + 1, 2 ** (bits - 1) - 1
            return torch.fake_quantize_per_channel_affine(weight, scale, zero, 0, low, high)

    layer = nn.Linear(16, 8, bias=False)
    parametrize.register_parametrization(layer, "weight", Quantized())
    (row,) = cost(trace(Model(nn.Sequential(layer), (torch.randn(2, 16),))))
    assert row.weight_bytes == 16 * 8 * bits // 8
    assert (row.name, row.parameters, row.macs) == ("0", 128, 128)


def test_what_depends_on_no_input_is_not_counted() -> None:
    class Places(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            places = torch.arange(4.0).outer(torch.ones(4)) @ torch.eye(4)
            return self.fc(x) + places.sum(0)

    rows = costs(Places(), torch.randn(2, 4))
    assert sum(row.macs for row in rows.values()) == 16
    assert rows["fc"].macs == 16


@pytest.mark.parametrize(
    ("equation", "shapes", "macs"),
    [
        ("bij,bkj->bik", [(2, 3, 4), (2, 5, 4)], 3 * 4 * 5),
        ("bqhd,bkhd->bhqk", [(2, 3, 2, 4), (2, 5, 2, 4)], 2 * 3 * 5 * 4),
        ("b...i,ij->b...j", [(2, 3, 4, 5), (5, 6)], 3 * 4 * 5 * 6),
        ("bi,ij,jk->bk", [(2, 3), (3, 4), (4, 5)], 3 * 4 + 4 * 5),
    ],
)
def test_einsum_counts_every_index_once(
    equation: str, shapes: list[tuple[int, ...]], macs: int
) -> None:
    class Einsum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rest = nn.ParameterList(torch.randn(s) for s in shapes[1:] if s[0] != 2)

        def forward(self, *xs: Tensor) -> Tensor:
            return torch.einsum(equation, *xs, *self.rest)

    inputs = [torch.randn(s) for s in shapes if s[0] == 2]
    assert sum(row.macs for row in costs(Einsum(), *inputs).values()) == macs


@pytest.mark.parametrize("make", [nn.LSTM, nn.GRU, nn.RNN])
def test_recurrent_layers_multiply_every_matrix_at_every_step(make: Callable[..., Any]) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = make(6, 8, num_layers=2, bidirectional=True, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x)[0]

    net = Net()
    row = costs(net, torch.randn(2, 5, 6))["layer.weight_ih_l0"]
    assert row.macs == 5 * sum(p.numel() for p in net.parameters() if p.dim() == 2)
    assert row.parameters == sum(p.numel() for p in net.parameters())


def test_functional_weights_are_named_after_themselves() -> None:
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.kernel = nn.Parameter(torch.randn(4, 3, 1, 1))

        def forward(self, x: Tensor) -> Tensor:
            return functional.relu(functional.conv2d(x, self.kernel))

    assert list(costs(Functional(), torch.randn(1, 3, 4, 4))) == ["kernel", "relu"]
