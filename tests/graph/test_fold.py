"""The oracle is the network itself: folding must not change what it computes in eval mode."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize

from lilliput.core import Model
from lilliput.graph import capture, fold_batch_norm, operator_of, trace

LAYERS = {
    "conv1d": (nn.Conv1d(4, 6, 3), nn.BatchNorm1d(6), (2, 4, 9)),
    "conv2d": (nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6), (2, 4, 9, 9)),
    "without bias": (nn.Conv2d(4, 6, 3, bias=False), nn.BatchNorm2d(6), (2, 4, 9, 9)),
    "grouped": (nn.Conv2d(4, 6, 3, groups=2), nn.BatchNorm2d(6), (2, 4, 9, 9)),
    "depthwise": (nn.Conv2d(4, 8, 3, groups=4, bias=False), nn.BatchNorm2d(8), (2, 4, 9, 9)),
    "padded to the same size": (
        nn.Conv2d(4, 6, 3, padding="same"),
        nn.BatchNorm2d(6),
        (2, 4, 9, 9),
    ),
    "transposed": (nn.ConvTranspose2d(4, 6, 3, 2), nn.BatchNorm2d(6), (2, 4, 5, 5)),
    "transposed in groups": (
        nn.ConvTranspose2d(4, 6, 3, groups=2),
        nn.BatchNorm2d(6),
        (2, 4, 5, 5),
    ),
    "linear": (nn.Linear(4, 6), nn.BatchNorm1d(6), (5, 4)),
    "without scale": (nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6, affine=False), (2, 4, 9, 9)),
    "with another epsilon": (nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6, eps=0.5), (2, 4, 9, 9)),
}
PADDED = (
    nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"),
    nn.BatchNorm2d(6),
    (2, 4, 9, 9),
)


def trained_looking(net: nn.Module) -> nn.Module:
    """Random statistics, scales of both signs: what a fresh BatchNorm has folds too easily."""
    torch.manual_seed(0)
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            if layer.running_mean is not None:
                layer.running_mean.normal_()
                layer.running_var.uniform_(0.1, 3)
            if layer.affine:
                nn.init.normal_(layer.weight)
                nn.init.normal_(layer.bias)
    return net.eval()


def norms_left(module: nn.Module) -> int:
    batch_norms = nn.BatchNorm1d | nn.BatchNorm2d
    return sum(isinstance(layer, batch_norms) for layer in module.modules())


@pytest.mark.parametrize("is_captured", [False, True], ids=["own", "captured"])
@pytest.mark.parametrize("case", LAYERS)
def test_computes_the_same(case: str, is_captured: bool) -> None:
    layer, norm, shape = copy.deepcopy(LAYERS[case])
    net = trained_looking(nn.Sequential(layer, norm, nn.ReLU()))
    x = torch.randn(shape)
    before = net(x)
    model = Model(net, (x,))
    folded, names = fold_batch_norm(capture(model) if is_captured else model)
    assert names == ("1",)
    assert norms_left(folded.module) == 0
    torch.testing.assert_close(folded.module(x), before)


def test_a_captured_layer_of_two_operators_folds() -> None:
    layer, norm, shape = copy.deepcopy(PADDED)
    model = capture(Model(trained_looking(nn.Sequential(layer, norm)), (torch.randn(shape),)))
    before = model.module(*model.example_inputs)
    folded, names = fold_batch_norm(model)
    assert names == ("1",)
    torch.testing.assert_close(folded.module(*model.example_inputs), before)


def test_computes_the_same_with_reflected_padding() -> None:
    layer, norm, shape = copy.deepcopy(PADDED)
    net = trained_looking(nn.Sequential(layer, norm))
    x = torch.randn(shape)
    before = net(x)
    folded, names = fold_batch_norm(Model(net, (x,)))
    assert names == ("1",)
    torch.testing.assert_close(folded.module(x), before)


def test_changes_the_network_in_place_and_keeps_its_class() -> None:
    net = trained_looking(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)))
    folded, _ = fold_batch_norm(Model(net, (torch.randn(1, 3, 8, 8),)))
    assert folded.module is net
    assert type(net[0]) is nn.Conv2d
    assert type(net[1]) is nn.Identity


def test_a_captured_network_has_no_call_left_and_still_trains() -> None:
    net = trained_looking(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()))
    folded, _ = fold_batch_norm(capture(Model(net, (torch.randn(2, 3, 8, 8),))))
    calls = [node.target for node in folded.module.graph.nodes if node.op == "call_module"]
    assert calls == ["0"]
    folded.module.train()
    folded.module(*folded.example_inputs).sum().backward()
    assert all(p.grad is not None for p in folded.module.parameters())


def test_keeps_what_is_frozen_frozen_and_what_is_half_half() -> None:
    net = trained_looking(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))).bfloat16()
    net.requires_grad_(False)
    fold_batch_norm(Model(net, (torch.randn(1, 3, 8, 8).bfloat16(),)))
    assert {(p.dtype, p.requires_grad) for p in net.parameters()} == {(torch.bfloat16, False)}


def test_a_folded_network_has_nothing_to_fold() -> None:
    net = trained_looking(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)))
    model, _ = fold_batch_norm(Model(net, (torch.randn(1, 3, 8, 8),)))
    assert fold_batch_norm(model)[1] == ()


class Shared(nn.Module):
    """One convolution, called twice, a norm after each call."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.bn1, self.bn2 = nn.BatchNorm2d(4), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn2(self.conv(self.bn1(self.conv(x))))


class SharedNorm(nn.Module):
    """One norm after two convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)
        self.bn = nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv2(self.bn(self.conv1(x))))


class Branch(nn.Module):
    """The convolution's own output goes on beside the norm's."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return self.bn(y) + y


class Returned(nn.Module):
    """The convolution's own output is an output of the network."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self.conv(x)
        return self.bn(y), y


class Functional(nn.Module):
    """BatchNorm as a function."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        return functional.batch_norm(self.conv(x), self.bn.running_mean, self.bn.running_var)


class WeightRead(nn.Module):
    """The convolution's weight is used a second time."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        return functional.conv2d(self.bn(self.conv(x)), self.conv.weight)


class Tied(nn.Module):
    """Two convolutions share one parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)
        self.conv2.weight = self.conv1.weight
        self.bn1, self.bn2 = nn.BatchNorm2d(4), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn2(self.conv2(self.bn1(self.conv1(x))))


class Double(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * x


def parametrized() -> nn.Module:
    net = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))
    parametrize.register_parametrization(net[0], "weight", Double())
    return net


def hooked() -> nn.Module:
    net = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))
    net[0].register_forward_hook(lambda _, __, y: 2 * y)
    return net


LEFT = {
    "a layer called twice": Shared,
    "a norm called twice": SharedNorm,
    "an output with other consumers": Branch,
    "an output of the network": Returned,
    "a functional norm": Functional,
    "a weight with other readers": WeightRead,
    "tied weights": Tied,
    "a parametrized weight": parametrized,
    "a layer with a hook": hooked,
    "a norm without statistics": lambda: nn.Sequential(
        nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4, track_running_stats=False)
    ),
    "a norm before its layer": lambda: nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1)),
    "a ReLU between": lambda: nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU(), nn.BatchNorm2d(4)),
}


@pytest.mark.parametrize("case", LEFT)
def test_leaves(case: str) -> None:
    net = trained_looking(LEFT[case]())
    x = torch.randn(2, 4, 6, 6)
    state, before = copy.deepcopy(net.state_dict()), net(x)
    folded, names = fold_batch_norm(Model(net, (x,)))
    assert names == ()
    assert all(
        torch.equal(value, state[name]) for name, value in folded.module.state_dict().items()
    )
    torch.testing.assert_close(folded.module(x), before)


def test_leaves_a_linear_layer_whose_axis_1_is_time() -> None:
    net = trained_looking(nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6)))
    model = Model(net, (torch.randn(2, 6, 4),))
    assert fold_batch_norm(model)[1] == ()


def test_folds_through_the_blocks_of_a_residual_network() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(4, 4, 3, 1, 1, bias=False), nn.BatchNorm2d(4))

        def forward(self, x: Tensor) -> Tensor:
            return torch.relu(x + self.body(x))

    net = trained_looking(nn.Sequential(*[Block() for _ in range(3)]))
    x = torch.randn(2, 4, 8, 8)
    before = net(x)
    folded, names = fold_batch_norm(Model(net, (x,)))
    assert names == ("0.body.1", "1.body.1", "2.body.1")
    torch.testing.assert_close(folded.module(x), before, rtol=1e-4, atol=1e-4)
    assert "batch_norm" not in {operator_of(node) for node in trace(folded).nodes}


class PaddedOnOneSide(nn.Conv2d):
    """A convolution of one's own, as TensorFlow pads: not a layer that the trace knows."""

    def forward(self, x: Tensor) -> Tensor:
        padded = functional.pad(x, (0, 1, 0, 1))
        return functional.conv2d(padded, self.weight, self.bias, self.stride, 0, 1, self.groups)


@pytest.mark.parametrize("has_bias", [False, True])
def test_convolutions_of_ones_own_fold_in_captured_networks(has_bias: bool) -> None:
    own = PaddedOnOneSide(4, 6, 2, bias=has_bias)
    depthwise = PaddedOnOneSide(6, 6, 2, groups=6, bias=has_bias)
    net = trained_looking(
        nn.Sequential(own, nn.BatchNorm2d(6), nn.ReLU6(), depthwise, nn.BatchNorm2d(6))
    )
    model = Model(net, (torch.randn(2, 4, 9, 9),))
    expected = net(*model.example_inputs)

    folded, names = fold_batch_norm(capture(model))

    assert names == ("1", "4")
    assert not [n for n in folded.module.graph.nodes if n.op == "call_module"]
    torch.testing.assert_close(folded.module(*model.example_inputs), expected)


def test_an_operator_that_others_read_keeps_its_batch_norm() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = PaddedOnOneSide(4, 4, 2), nn.BatchNorm2d(4)

        def forward(self, x: Tensor) -> Tensor:
            y = self.conv(x)
            return self.norm(y) + y

    model = Model(trained_looking(Shared()), (torch.randn(2, 4, 5, 5),))
    folded, names = fold_batch_norm(capture(model))
    assert not names
    expected = model.module(*model.example_inputs)
    torch.testing.assert_close(folded.module(*model.example_inputs), expected)
