from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from lilliput.core import Model, Pass, PassError, Task, run
from lilliput.core.accuracy import Accuracy
from lilliput.quantize import Precision, QuantizeStatic, ReconstructBlocks, quantizers
from lilliput.quantize.beside.distance import Divergence
from lilliput.targets import get_target
from lilliput.testing import TINY_TASKS, PassContract, learned

RULES = get_target("onnxruntime-cpu").rules
THREE = Precision({"*": 3})


class TestReconstructBlocks(PassContract):
    @pytest.fixture
    def model(self, tiny: str) -> Model:
        model, task = TINY_TASKS[tiny]()
        return replace(run(model, [QuantizeStatic(RULES, task, samples=64)]), history=())

    @pytest.fixture
    def pass_(self, task: Task) -> Pass:
        return ReconstructBlocks(task, samples=32, steps=3, learns_steps=True)


class Block(nn.Module):
    """A bottleneck with a shortcut, which has a depthwise layer inside."""

    def __init__(self) -> None:
        super().__init__()
        self.expand = nn.Conv2d(4, 12, 1)
        self.depthwise = nn.Conv2d(12, 12, 3, padding=1, groups=12)
        self.project = nn.Conv2d(12, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.project(self.depthwise(self.expand(x).relu()).relu())


class Twice(nn.Module):
    """One layer that runs two times, and one that runs once."""

    def __init__(self) -> None:
        super().__init__()
        self.again, self.once = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.once(self.again(self.again(x).relu()).relu())


def toy(net: nn.Module) -> tuple[Model, Task, Tensor]:
    x = torch.rand(64, 4, 6, 6)
    task = Task("toy", [(x, x)], [(x, x)], lambda y, _: y.square().mean(), Accuracy())
    return Model(net.eval(), (x[:2],)), task, x


def error(model: Model, net: nn.Module, x: Tensor) -> float:
    with torch.no_grad():
        return float((model.module(x) - net(x)).square().mean())


def test_needs_quantizers() -> None:
    model, task = TINY_TASKS["image_classifier"]()
    with pytest.raises(PassError, match="QuantizeStatic comes before"):
        run(model, [ReconstructBlocks(task)])


@pytest.mark.parametrize("name", ["samples", "steps", "batch", "most_layers"])
def test_refuses_counts_that_are_nothing(name: str) -> None:
    _, task = TINY_TASKS["image_classifier"]()
    with pytest.raises(ValueError, match=f"{name} must be 1 or more, got 0"):
        ReconstructBlocks(task, **{name: 0})


@pytest.mark.parametrize("name", ["learning_rate", "strength"])
def test_refuses_settings_that_learn_nothing(name: str) -> None:
    _, task = TINY_TASKS["image_classifier"]()
    with pytest.raises(ValueError, match=f"{name} must be more than 0, got 0.0"):
        ReconstructBlocks(task, **{name: 0.0})


@pytest.mark.parametrize("learns_steps", [False, True])
def test_a_block_comes_nearer_to_the_float_one(learns_steps: bool) -> None:
    torch.manual_seed(0)
    net = Block()
    model, task, x = toy(net)
    nearest = run(model, [QuantizeStatic(RULES, task, precision=THREE)])
    rebuilt = run(nearest, [ReconstructBlocks(task, steps=150, learns_steps=learns_steps)])
    assert error(rebuilt, net, x) < 0.5 * error(nearest, net, x)


def test_weights_lie_on_the_quantizers_grid() -> None:
    torch.manual_seed(0)
    model, task, _ = toy(nn.Sequential(Block(), nn.ConvTranspose2d(4, 3, 2, 2)))
    passes = [QuantizeStatic(RULES, task, precision=THREE), ReconstructBlocks(task, steps=30)]
    rebuilt = run(model, passes)
    for name, quantizer in quantizers(rebuilt.module).items():
        if name.endswith(".weight_quantizer"):
            weight = rebuilt.module.get_parameter(name.removesuffix("_quantizer"))
            torch.testing.assert_close(quantizer(weight), weight, rtol=1e-5, atol=1e-7)


def test_a_block_that_would_be_worse_stays_as_it_was() -> None:
    torch.manual_seed(0)
    net = Block()
    model, task, x = toy(net)
    nearest = run(model, [QuantizeStatic(RULES, task)])
    wild = ReconstructBlocks(task, steps=2, learning_rate=50.0, learns_steps=True)
    rebuilt = run(nearest, [wild])
    assert error(rebuilt, net, x) == pytest.approx(error(nearest, net, x), rel=1e-3)


def test_a_layer_that_runs_twice_stays_as_it_was() -> None:
    torch.manual_seed(0)
    model, task, _ = toy(Twice())
    nearest = run(model, [QuantizeStatic(RULES, task, precision=THREE)])
    rebuilt = run(nearest, [ReconstructBlocks(task, steps=60)])
    before, after = (dict(m.module.named_parameters()) for m in (nearest, rebuilt))
    assert torch.equal(before["again.weight"], after["again.weight"])
    assert not torch.equal(before["once.weight"], after["once.weight"])


@pytest.mark.parametrize("value", [0.0, 0.3])
def test_weights_that_are_all_equal_do_no_harm(value: float) -> None:
    net = Block()
    nn.init.constant_(net.depthwise.weight, value)
    model, task, x = toy(net)
    passes = [QuantizeStatic(RULES, task, precision=THREE), ReconstructBlocks(task, steps=20)]
    rebuilt = run(model, passes)
    with torch.no_grad():
        assert rebuilt.module(x).isfinite().all()


def test_steps_of_activations_are_learned_too() -> None:
    torch.manual_seed(0)
    net = Block()
    model, task, _ = toy(net)
    few = Precision({"*": 3}, activations={"*": 3})
    nearest = run(model, [QuantizeStatic(RULES, task, precision=few)])
    pass_ = ReconstructBlocks(task, steps=150, learns_steps=True)
    before, after = (quantizers(m.module) for m in (nearest, run(nearest, [pass_])))
    changed = [name for name in before if not torch.equal(before[name].scale, after[name].scale)]
    assert changed
    assert not any("weight" in name for name in changed)


def test_three_bits_of_a_trained_network_stay_nearer_to_it() -> None:
    model, task = TINY_TASKS["image_classifier"]()
    model = learned(model, task, epochs=4)
    nearest = run(model, [QuantizeStatic(RULES, task, precision=THREE)])
    rebuilt = run(nearest, [ReconstructBlocks(task)])
    inputs, _ = next(task.batches("test"))
    with torch.no_grad():
        wanted = model.module.eval()(*inputs)
        far = [float(Divergence()(m.module(*inputs), wanted).mean()) for m in (rebuilt, nearest)]
    assert far[0] < 0.8 * far[1]
