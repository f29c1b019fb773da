"""The oracles: the network itself, which must compute what it did, and the paper's formula."""

from dataclasses import replace

import pytest
import torch
from tests.graph.structures import STRUCTURES, build, settle
from torch import Tensor, nn
from torch.nn import functional

from lilliput.core import Accuracy, Model, Pass, PassError, Task, run
from lilliput.quantize import MigrateScales, QuantizeStatic
from lilliput.targets import get_target
from lilliput.testing import TINY_TASKS, PassContract

RULES = get_target("onnxruntime-cpu").rules


class TestMigrateScales(PassContract):
    @pytest.fixture
    def pass_(self, task: Task) -> Pass:
        return MigrateScales(task, samples=16, inserts_products=True)


class Attention(nn.Module):
    """A block with its norm before attention and another before the MLP; one head."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width, bias=False)
        self.q, self.k, self.v = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 16), nn.Linear(16, width)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(x)
        weights = (self.q(y) @ self.k(y).transpose(1, 2)).softmax(-1)
        x = x + self.out(weights @ self.v(y))
        return x + self.down(functional.relu(self.up(self.norm2(x))))


class NormLast(nn.Module):
    """The norm feeds a residual addition as well."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.norm, self.up, self.down = (
            nn.LayerNorm(width),
            nn.Linear(width, 16),
            nn.Linear(16, width),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x)
        return x + self.down(functional.gelu(self.up(x)))


def worded(net: nn.Module) -> tuple[Model, Task]:
    """Tokens of 8 features, of which the norm makes two a hundred times larger."""
    torch.manual_seed(0)
    settle(net)
    for part in net.modules():
        if isinstance(part, nn.LayerNorm):
            with torch.no_grad():
                part.weight[2:4] *= 100
    x = torch.randn(16, 5, 8)
    task = Task("words", [(x, x)], [(x, x)], lambda y, _: y.mean(), Accuracy())
    return Model(net, (x[:2],)), task


def error(module: nn.Module, other: nn.Module, inputs: tuple[Tensor, ...]) -> float:
    with torch.no_grad():
        before, after = module(*inputs), other(*inputs)
    before, after = (x[0] if isinstance(x, tuple) else x for x in (before, after))
    return float((before - after).norm() / before.norm())


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_factors_are_the_papers(strength: float) -> None:
    model, task = worded(Attention())
    migrated = run(model, [MigrateScales(task, strength=strength)]).module
    net = model.module
    read = net.norm1(task.train[0][0]).flatten(0, 1)
    columns = torch.cat([net.q.weight, net.k.weight, net.v.weight])
    factors = read.abs().amax(0) ** strength / columns.abs().amax(0) ** (1 - strength)
    torch.testing.assert_close(migrated.norm1.weight, net.norm1.weight / factors)
    torch.testing.assert_close(migrated.norm1.bias, net.norm1.bias / factors)
    for name in ("q", "k"):
        weight = net.get_parameter(f"{name}.weight") * factors
        torch.testing.assert_close(migrated.get_parameter(f"{name}.weight"), weight)
    assert not torch.equal(migrated.get_parameter("down.weight"), net.down.weight)
    assert error(net, migrated, model.example_inputs) < 1e-5


@pytest.mark.parametrize("inserts_products", [False, True])
@pytest.mark.parametrize("name", STRUCTURES)
def test_computes_the_same(name: str, inserts_products: bool) -> None:
    net, inputs = build(name)
    task = Task("structure", [(inputs, inputs)], [(inputs, inputs)], lambda y, _: y, Accuracy())
    migrated = run(Model(net, inputs), [MigrateScales(task, inserts_products=inserts_products)])
    assert error(net, migrated.module, inputs) < 1e-5


def test_a_residual_addition_keeps_the_norm_as_it_is() -> None:
    model, task = worded(NormLast())
    migrated = run(model, [MigrateScales(task)]).module
    before, after = model.module.state_dict(), migrated.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_products_migrate_what_the_norm_cannot() -> None:
    model, task = worded(NormLast())
    migrated = run(model, [MigrateScales(task, inserts_products=True)])
    assert torch.equal(migrated.module.norm.weight, model.module.norm.weight)
    assert not torch.equal(migrated.module.up.weight, model.module.up.weight)
    assert error(model.module, migrated.module, model.example_inputs) < 1e-5


def test_outliers_cost_less_afterwards() -> None:
    model, task = worded(Attention())
    net = model.module
    with torch.no_grad():  # what is large is no more important than the rest
        for reader in (net.q, net.k, net.v, net.up):
            reader.weight[:, 2:4] /= 100
    plain = run(model, [QuantizeStatic(RULES, task)])
    migrated = run(model, [MigrateScales(task), QuantizeStatic(RULES, task)])
    inputs = task.train[0][:1]
    errors = [error(model.module, other.module, inputs) for other in (migrated, plain)]
    assert errors[0] < 0.7 * errors[1]


def test_the_strength_is_chosen_where_none_is_given() -> None:
    model, task = worded(Attention())
    inputs = task.train[0][:1]

    def quantized(**settings: float) -> float:
        passes = [MigrateScales(task, **settings), QuantizeStatic(RULES, task)]
        return error(model.module, run(model, passes).module, inputs)

    given = [quantized(strength=strength) for strength in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert quantized() < 1.15 * min(given)
    assert quantized() < 0.9 * max(given)


def test_channels_of_zeros_stay() -> None:
    model, task = worded(Attention())
    with torch.no_grad():
        model.module.norm1.weight[0] = model.module.norm1.bias[0] = 0
        model.module.up.weight[:, 3] = 0
        model.module.down.weight.zero_()
    migrated = run(model, [MigrateScales(task)]).module
    assert all(parameter.isfinite().all() for parameter in migrated.parameters())
    assert error(model.module, migrated, model.example_inputs) < 1e-5


def test_nan_in_the_examples_is_named() -> None:
    model, task = worded(Attention())
    x = torch.full((2, 5, 8), float("inf"))
    with pytest.raises(PassError, match="NaN or infinite values at"):
        run(model, [MigrateScales(replace(task, train=[(x, x)]))])


@pytest.mark.parametrize(("strength", "samples"), [(-0.1, 1), (1.5, 1), (0.5, 0)])
def test_refuses_what_makes_no_sense(strength: float, samples: int) -> None:
    _, task = TINY_TASKS["image_classifier"]()
    with pytest.raises(ValueError, match=r"must be .*, got (-0\.1|1\.5|0)$"):
        MigrateScales(task, strength=strength, samples=samples)
