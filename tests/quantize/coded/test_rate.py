"""The rate that trains weights, beside the code it stands for, and what training makes of it."""

import math
from functools import cache
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lilliput.core import Accuracy, Model, Pass, PassError, Task, UnsupportedError, run
from lilliput.pack import load_packed, pack_model
from lilliput.prune import PruneWeights
from lilliput.quantize import QuantizeCodedAware, RatePenalty, SettleCoded
from lilliput.quantize.coded.coded_aware import stepped_layers
from lilliput.quantize.coded.rate import Code
from lilliput.testing import PassContract
from lilliput.train import SGD, FineTune, Training

HOW = Training(optimizer=SGD(weight_decay=0), accelerator="cpu")


class TestQuantizeCodedAware(PassContract):
    tasks: ClassVar[tuple[str, ...]] = ("image_classifier",)

    @pytest.fixture
    def pass_(self) -> Pass:
        return QuantizeCodedAware()


class Net(nn.Module):
    """A class of one's own, with BatchNorm and a layer that is masked."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 32, bias=False)
        self.norm = nn.BatchNorm1d(32)
        self.last = nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.norm(self.first(x))))


def net_and_task() -> tuple[Model, Task]:
    torch.manual_seed(0)
    net = Net()
    x = torch.randn(256, 6)
    y = (x[:, 0] > 0).long() + 2 * (x[:, 1] > 0).long()
    batches = [(x[i : i + 32], y[i : i + 32]) for i in range(0, 256, 32)]
    task = Task("signs", batches, batches, nn.functional.cross_entropy, Accuracy())
    return Model(net, (x[:2],)), task


class Killed:
    """A hook that ends the training."""

    def __init__(self, at: int) -> None:
        self.at = at

    def on_step(self, _module: nn.Module, step: int, _steps: int, /) -> None:
        if step == self.at:
            raise PassError("killed")

    def on_epoch(self, _module: nn.Module, _epoch: int, _epochs: int, /) -> None:
        pass

    def penalty(self, _module: nn.Module, /) -> None:
        return None


@pytest.mark.parametrize("at", [3, 14, 16, 30])
def test_training_that_was_stopped_ends_where_it_would_have(tmp_path, monkeypatch, at) -> None:
    monkeypatch.setattr("lilliput.train.watch._SAVE_EVERY_S", 0.0)
    model, task = net_and_task()

    def trained(at: int, folder: Path | None) -> Model:
        hooks = (RatePenalty(0.5), Killed(at))
        learn = FineTune(
            task, epochs=5, learning_rate=0.05, training=HOW, hooks=hooks, checkpoint=folder
        )
        return run(model, [QuantizeCodedAware(0.5), learn])

    whole = trained(999, None)
    with pytest.raises(PassError, match="killed"):
        trained(at, tmp_path)
    resumed = trained(999, tmp_path)
    pairs = zip(whole.module.parameters(), resumed.module.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def code_length(integers: np.ndarray, is_zero: float, goes_on: float) -> float:
    """Written out number by number."""
    bits = 0.0
    for integer in np.abs(integers):
        if integer == 0:
            bits -= math.log2(is_zero)
        else:
            bits += 1 - math.log2(1 - is_zero) - math.log2(1 - goes_on)
            bits -= (integer - 1) * math.log2(goes_on)
    return bits


def test_bits_of_integers_are_those_of_the_best_code_of_its_kind() -> None:
    draw = np.random.default_rng(0)
    integers = draw.geometric(0.4, 4000) * draw.choice([-1, 0, 0, 1], 4000)
    code = Code.of(torch.tensor(integers, dtype=torch.float32).abs())
    grid = np.linspace(0.02, 0.98, 49)
    best = min(code_length(integers, zero, on) for zero in (0.45, 0.5, 0.55) for on in grid)
    assert math.isclose(float(code.total), best, rel_tol=2e-3)


def test_slopes_are_what_one_weight_more_or_less_takes() -> None:
    draw = np.random.default_rng(1)
    integers = draw.geometric(0.4, 4000) * draw.choice([-1, 0, 0, 0, 1], 4000)
    sizes = torch.tensor(integers, dtype=torch.float32).abs()
    code = Code.of(sizes)
    for place, slope in enumerate((code.near, code.far, code.far)):
        # one integer less, the code made anew for it
        at = int((sizes == place + 1).nonzero()[0])
        fewer = sizes.clone()
        fewer[at] -= 1
        fall = float(code.total - Code.of(fewer).total)
        assert math.isclose(fall, slope, rel_tol=0.05)


@cache
def learned() -> Model:
    """The network before anything is rounded."""
    model, task = net_and_task()
    return run(model, [FineTune(task, epochs=20, learning_rate=0.1, training=HOW)])


def trained(bits: float | None, start: tuple[Pass, ...] = ()) -> Model:
    _, task = net_and_task()
    hooks = () if bits is None else (RatePenalty(bits, end=0.8),)
    learn = FineTune(task, epochs=30, learning_rate=0.02, training=HOW, hooks=hooks)
    return run(learned(), [*start, QuantizeCodedAware(), learn])


def accuracy(model: Model) -> float:
    _, task = net_and_task()
    right = [(model.module(x).argmax(1) == y).float() for x, y in task.validation]
    return float(torch.cat(right).mean())


def test_training_brings_the_rate_down_and_the_file_with_it(tmp_path) -> None:
    sizes, rates = [], []
    for bits in (None, 1.5):
        model = trained(bits)
        layers = list(stepped_layers(model.module))
        rates.append(
            sum(float(Code.of(layer.units().detach().abs()).total) for layer in layers)
            / (6 * 32 + 128)
        )
        small = run(model, [SettleCoded()])
        assert accuracy(small) > 0.9
        sizes.append(pack_model(small, tmp_path / "net.lil").path.stat().st_size)
    assert rates[0] > 2.5
    assert 1.2 < rates[1] < 1.8
    assert sizes[1] < sizes[0]


def test_what_is_settled_is_the_same_network_of_its_own_class(tmp_path) -> None:
    model = trained(1.0)
    before = model.module(torch.ones(3, 6)).detach()
    small = run(model, [SettleCoded()])
    assert type(small.module.first) is nn.Linear
    after = small.module(torch.ones(3, 6)).detach()
    assert torch.allclose(before, after, atol=0.03 * float(before.abs().max()))
    steps = {f"{layer.name}.weight": layer.step for layer in stepped_layers(model.module)}
    state = small.module.state_dict()
    for name, step in steps.items():
        units = state[name] / step
        assert torch.allclose(units, units.round(), atol=1e-4)
    # a class of the user's opens the file, with the keys it has
    pack_model(small, tmp_path / "net.lil")
    own = Net().eval()
    own.load_state_dict(dict(load_packed(tmp_path / "net.lil")))
    assert torch.equal(own(torch.ones(3, 6)), after)
    # the copy that was trained still trains
    assert model.module.train()(torch.ones(3, 6)).requires_grad


def test_channels_of_zeros_stay_and_scale_nothing() -> None:
    model, task = net_and_task()
    with torch.no_grad():
        model.module.first.weight[3] = 0.0
    how = FineTune(task, epochs=4, learning_rate=0.1, training=HOW, hooks=(RatePenalty(2.0),))
    small = run(model, [QuantizeCodedAware(), how, SettleCoded()]).module
    assert not small.first.weight[3].any()
    assert small.norm.weight.abs().max() < 50  # not 1 / sqrt(eps)


def test_masks_stay() -> None:
    model = trained(1.0, (PruneWeights(0.5),))
    small = run(model, [SettleCoded()])
    weights = [small.module.first.weight, small.module.last.weight]
    zeros = sum(int((weight == 0).sum()) for weight in weights)
    assert zeros >= (6 * 32 + 128) // 2


def test_what_cannot_be_is_said() -> None:
    model, task = net_and_task()
    with pytest.raises(ValueError, match="bits must be more than 0"):
        RatePenalty(0.0)
    with pytest.raises(ValueError, match="step must be more than 0"):
        QuantizeCodedAware(0)
    with pytest.raises(PassError, match="QuantizeCodedAware before the training"):
        run(model, [FineTune(task, hooks=(RatePenalty(1.0),))])
    with pytest.raises(UnsupportedError, match="SettleCoded ends what"):
        run(model, [SettleCoded()])
    with pytest.raises(UnsupportedError, match=r"'lsat'; did you mean 'last'"):
        run(model, [QuantizeCodedAware(floats=("lsat",))])
