"""The oracle is the network itself: it must compute what it did, with ranges that agree."""

import copy
import itertools

import pytest
import torch
from tests.graph.structures import STRUCTURES, build, settle
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._pytree import tree_leaves

from lilliput.core import Accuracy, Model, Pass, PassError, Task, run
from lilliput.quantize import EqualizeLayers
from lilliput.testing import PassContract


class TestEqualizeLayers(PassContract):
    @pytest.fixture
    def pass_(self, task: Task) -> Pass:
        return EqualizeLayers(task, samples=16, removes_clips=True, absorbs_biases=True)


def spread_out(net: nn.Module, decades: float = 2.0) -> None:
    """Output channels of very different size in every layer."""
    for part in net.modules():
        if isinstance(part, nn.Conv1d | nn.Conv2d | nn.Linear) and len(part.weight) > 1:
            with torch.no_grad():
                sizes = 10 ** (decades * (torch.rand(len(part.weight)) - 0.5))
                part.weight *= sizes.view(-1, *[1] * (part.weight.dim() - 1))


def outputs(net: nn.Module, inputs: tuple[Tensor, ...]) -> list[Tensor]:
    doubles = [x.double() if x.is_floating_point() else x for x in inputs]
    with torch.no_grad():
        return tree_leaves(copy.deepcopy(net).double()(*doubles))


def close(net: nn.Module, other: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    """Compared in double, so that only what float weights were rounded by is left."""
    pairs = zip(outputs(net, inputs), outputs(other, inputs), strict=True)
    for before, after in pairs:
        error = (before - after).abs().max() / before.abs().max().clamp_min(1e-30)
        assert error < 2e-6


@pytest.mark.parametrize("name", STRUCTURES)
def test_computes_the_same(name: str) -> None:
    net, inputs = build(name)
    if name != "masked":
        spread_out(net)
    model = Model(net, inputs)
    equalized = run(model, [EqualizeLayers()])
    close(net, equalized.module, inputs)


class Functional(nn.Module):
    """Weights used by functions, with pooling, padding and a flatten on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.randn(6, 3, 3, 3))
        self.b = nn.Parameter(torch.randn(4, 6, 3, 3))
        self.c = nn.Parameter(torch.randn(5, 4 * 9))

    def forward(self, x: Tensor) -> Tensor:
        x = functional.pad(functional.leaky_relu(functional.conv2d(x, self.a)), (1, 1, 1, 1))
        x = functional.max_pool2d(functional.conv2d(x, self.b), 2).relu()
        return functional.linear(x.flatten(1), self.c)


def imaged(net: nn.Module, size: int = 8) -> Model:
    return Model(settle(net), (torch.randn(2, 3, size, size),))


PAIRS = {
    "conv and conv": (
        lambda: nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 4, 3)),
        "0",
        "2",
    ),
    "in groups": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 6, 3, groups=3), nn.PReLU(6), nn.Conv2d(6, 4, 3, groups=2)
        ),
        "0",
        "2",
    ),
    "depthwise": (
        lambda: nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 6, 3, groups=6)),
        "0",
        "2",
    ),
    "transposed": (
        lambda: nn.Sequential(
            nn.ConvTranspose2d(3, 6, 3, groups=3), nn.ReLU(), nn.ConvTranspose2d(6, 4, 3, groups=2)
        ),
        "0",
        "2",
    ),
    "flattened": (
        lambda: nn.Sequential(nn.Conv2d(3, 6, 3), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(54, 4)),
        "0",
        "3",
    ),
    "linear on tokens": (
        lambda: nn.Sequential(nn.Linear(8, 6), nn.LeakyReLU(), nn.Dropout(), nn.Linear(6, 4)),
        "0",
        "3",
    ),
}


def brute_force_ranges(layer: nn.Module, is_output: bool, channels: int) -> Tensor:
    """Largest weight of a channel: what moves when that channel alone is silenced."""
    found = []
    for channel in range(channels):
        other = copy.deepcopy(layer)
        with torch.no_grad():
            if is_output:
                probe = _dense(other)[channel]
            else:
                dense = _dense(other)
                probe = dense.view(len(dense), channels, -1)[:, channel]
        found.append(probe.abs().max())
    return torch.stack(found)


def _dense(layer: nn.Module) -> Tensor:
    """The weight written out, `[out, in, ...]`, without groups."""
    if isinstance(layer, nn.Linear):
        return layer.weight
    groups, weight = layer.groups, layer.weight
    if isinstance(layer, nn.ConvTranspose2d):
        parts = [part.transpose(0, 1) for part in weight.chunk(groups)]
    else:
        parts = list(weight.chunk(groups))
    each_out, each_in = parts[0].shape[:2]
    dense = torch.zeros(each_out * groups, each_in * groups, *weight.shape[2:])
    for i, part in enumerate(parts):
        dense[i * each_out : (i + 1) * each_out, i * each_in : (i + 1) * each_in] = part
    return dense


@pytest.mark.parametrize("case", PAIRS)
def test_both_layers_of_a_pair_have_the_same_ranges(case: str) -> None:
    torch.manual_seed(0)
    make, first, second = PAIRS[case]
    model = imaged(make())
    spread_out(model.module)
    equalized = run(model, [EqualizeLayers()]).module
    ranges = [
        brute_force_ranges(equalized.get_submodule(name), is_output, 6)
        for name, is_output in ((first, True), (second, False))
    ]
    torch.testing.assert_close(*ranges, rtol=1e-4, atol=0)
    close(model.module, equalized, model.example_inputs)


def test_a_chain_settles() -> None:
    torch.manual_seed(0)
    parts = [nn.Conv2d(3, 8, 3), nn.ReLU()]
    for _ in range(5):
        parts += [nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.ReLU(), nn.Conv2d(8, 8, 1), nn.ReLU()]
    model = imaged(nn.Sequential(*parts))
    spread_out(model.module, 4.0)
    equalized = run(model, [EqualizeLayers()]).module
    convs = [part for part in equalized.modules() if isinstance(part, nn.Conv2d)]
    for layer, reader in itertools.pairwise(convs):
        ranges = brute_force_ranges(layer, True, 8), brute_force_ranges(reader, False, 8)
        torch.testing.assert_close(*ranges, rtol=0.02, atol=0)
    close(model.module, equalized, model.example_inputs)


def test_weights_used_by_functions_are_equalized() -> None:
    torch.manual_seed(0)
    model = imaged(Functional())
    equalized = run(model, [EqualizeLayers()]).module
    ranges = equalized.b.abs().flatten(1).amax(1), equalized.c.abs().view(5, 4, 9).amax((0, 2))
    torch.testing.assert_close(*ranges, rtol=1e-3, atol=0)
    close(model.module, equalized, model.example_inputs)


def test_channels_of_zeros_stay() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 1)
    )
    with torch.no_grad():
        net[0].weight[1] = 0
        net[2].weight[:, 2] = 0
        net[4].weight.zero_()
    model = imaged(net)
    equalized = run(model, [EqualizeLayers()]).module
    assert all(parameter.isfinite().all() for parameter in equalized.parameters())
    assert torch.equal(equalized.get_parameter("4.weight"), net[4].weight)
    close(net, equalized, model.example_inputs)


def test_a_channel_that_hardly_varies_is_not_scaled_up() -> None:
    """BatchNorm switches channels off by a scale of nearly zero, and leaves a bias."""
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 4, 3, bias=False)
    net = nn.Sequential(conv, nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1))
    model = imaged(net)
    with torch.no_grad():
        net[1].weight[0], net[1].bias[0] = 1e-8, 0.5
    equalized = run(model, [EqualizeLayers()]).module
    assert equalized.get_parameter("0.bias").abs().amax() < 20
    close(net, equalized, model.example_inputs)


def unequal(clip: nn.Module, size: float) -> tuple[Model, Task]:
    """Two layers around a clip, whose inputs reach `size`."""
    net = nn.Sequential(nn.Linear(2, 2, bias=False), clip, nn.Linear(2, 1, bias=False)).eval()
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 0.01]]))
        net[2].weight.copy_(torch.tensor([[1.0, 100.0]]))
    x = torch.tensor([[size, -size / 3], [-size, size / 3]])
    task = Task("toy", [(x, x)], [(x, x)], lambda y, _: y.mean(), Accuracy())
    return Model(net, (x,)), task


@pytest.mark.parametrize("clip", [nn.ReLU6(), nn.Hardtanh(-1, 1), nn.Hardtanh(0, 6)])
@pytest.mark.parametrize(("size", "removes_clips"), [(0.9, True), (0.9, False), (7.0, True)])
def test_a_clip_lets_factors_pass_only_where_it_never_acts(
    clip: nn.Module, size: float, removes_clips: bool
) -> None:
    model, task = unequal(clip, size)
    equalized = run(model, [EqualizeLayers(task, removes_clips=removes_clips)]).module
    is_equal = torch.allclose(equalized.get_parameter("2.weight"), torch.ones(1, 2))
    assert is_equal == (removes_clips and size < 1)
    close(model.module, equalized, model.example_inputs)


def test_biases_go_where_padding_does_not_break_them() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 5, 3, bias=False)
    )
    model = imaged(net)
    with torch.no_grad():
        # far above zero for whatever comes in
        net[1].weight.fill_(0.2)
        net[1].bias.copy_(torch.tensor([9.0, 7.0, 5.0, 8.0]))
    x = model.example_inputs
    task = Task("toy", [(x, x)], [(x, x)], lambda y, _: y.mean(), Accuracy())
    absorbing = EqualizeLayers(task, absorbs_biases=True)
    equalized = run(model, [absorbing])
    close(net, equalized.module, model.example_inputs)
    plain = run(model, [EqualizeLayers()])
    before, after = (
        functional.conv2d(
            *model.example_inputs,
            m.module.get_parameter("0.weight"),
            m.module.get_parameter("0.bias"),
        )
        for m in (plain, equalized)
    )
    assert after.amin() > 0
    assert after.mean() < 0.3 * before.mean()
    padded = copy.deepcopy(net)
    padded[3].padding = (1, 1)
    stays = run(Model(padded, model.example_inputs), [absorbing])
    close(padded, stays.module, model.example_inputs)


def test_nan_in_the_examples_is_named() -> None:
    model, _ = unequal(nn.ReLU6(), 1.0)
    x = torch.full((4, 2), float("nan"))
    task = Task("toy", [(x, x)], [(x, x)], lambda y, _: y.mean(), Accuracy())
    with pytest.raises(PassError, match="NaN or infinite values at '0'"):
        run(model, [EqualizeLayers(task, removes_clips=True)])


def test_refuses_no_examples() -> None:
    with pytest.raises(ValueError, match="samples must be 1 or more, got 0"):
        EqualizeLayers(samples=0)


def test_asks_for_examples_where_it_needs_them() -> None:
    with pytest.raises(ValueError, match=r"need examples, got no task; pass EqualizeLayers\(task"):
        EqualizeLayers(removes_clips=True)
