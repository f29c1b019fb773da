"""Passes on networks that write in place, share weights, or give other outputs than scores."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lilliput.core import Accuracy, Model, Task, run
from lilliput.core.class_scores import are_class_scores
from lilliput.quantize import (
    LearnRanges,
    LearnRounding,
    Precision,
    QuantizeAware,
    QuantizeStatic,
    ReconstructBlocks,
    RoundSecondOrder,
    bit_sensitivity,
    estimate_bit_sensitivity,
    quantizers,
)
from lilliput.quantize.beside.distance import SquaredError
from lilliput.quantize.bits.knapsack import front
from lilliput.quantize.bits.progressive import LowerBits
from lilliput.search.clinic.culprits import suspects
from lilliput.targets import get_target

RULES = get_target("onnxruntime-cpu").rules


class Block(nn.Module):
    """A residual block that writes into what it has, or the same without writing."""

    def __init__(self, writes: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.shortcut, self.head = nn.Conv2d(3, 6, 1), nn.Linear(6, 4)
        self.act, self.writes = nn.ReLU(inplace=writes), writes

    def forward(self, x: Tensor) -> Tensor:
        out = self.second(self.act(self.first(x)))
        if self.writes:
            out += self.shortcut(x)
        else:
            out = out + self.shortcut(x)
        return self.head(self.act(out).mean((2, 3)))


class Tied(nn.Module):
    """One table, read as a table and as the last layer's weight."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(12, 6)
        self.inner, self.head = nn.Linear(6, 6), nn.Linear(6, 12)
        self.head.weight = self.table.weight

    def forward(self, words: Tensor) -> Tensor:
        return self.head(self.inner(self.table(words)).mean(1))


class Detector(nn.Module):
    """Boxes, and anchors that are the same for every example."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.register_buffer("anchors", torch.rand(7, 4))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.conv(x).relu().mean((2, 3)), self.anchors * 1.0


class TimeFirst(nn.Module):
    """Examples lie on the second axis inside."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down, self.head = nn.Linear(6, 8), nn.Linear(8, 6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = x.transpose(0, 1)
        y = y + self.down(self.up(y).relu())
        return self.head(y.mean(0))


def made(net: nn.Module, x: Tensor, labels: Tensor | None = None) -> tuple[Model, Task]:
    labels = torch.zeros(len(x), dtype=torch.long) if labels is None else labels
    batches = list(zip(x.split(20), labels.split(20), strict=True))
    task = Task("other", batches, batches, lambda y, _: y.square().mean(), Accuracy())
    return Model(net.eval(), (x[:2],)), task


def block(writes: bool) -> tuple[Model, Task]:
    torch.manual_seed(1)
    return made(Block(writes), torch.randn(40, 3, 8, 8))


@pytest.mark.parametrize("look", [bit_sensitivity, estimate_bit_sensitivity])
def test_bits_cost_the_same_where_a_network_writes_in_place(look) -> None:
    found, plain = (look(*block(writes), RULES, (8, 4, 2), 40) for writes in (True, False))
    for layer, losses in plain.losses.items():
        assert found.losses[layer] == pytest.approx(losses, rel=1e-3)


def test_culprits_are_the_same_where_a_network_writes_in_place() -> None:
    effects = []
    for writes in (True, False):
        model, task = block(writes)
        small = run(model, [QuantizeStatic(RULES, task, precision=Precision({"*": 3}))])
        found = suspects(small, task, samples=40)
        effects.append([s.effects["alone"].divergence for s in found.suspects])
    assert effects[0] == pytest.approx(effects[1], rel=1e-3)


@pytest.mark.parametrize("learns_steps", [False, True])
def test_steps_are_learned_where_a_network_writes_in_place(learns_steps: bool) -> None:
    weights = []
    for writes in (True, False):
        model, task = block(writes)
        passes = [
            QuantizeStatic(RULES, task, precision=Precision({"*": 3})),
            ReconstructBlocks(task, samples=40, steps=5, learns_steps=learns_steps),
            LearnRanges(task, samples=40, steps=3),
        ]
        weights.append(run(model, passes).module.first.weight)
    torch.testing.assert_close(*weights)


@pytest.mark.parametrize("pass_", [RoundSecondOrder, LearnRounding, ReconstructBlocks])
def test_a_weight_that_others_read_stays(pass_) -> None:
    torch.manual_seed(0)
    model, task = made(Tied(), torch.randint(0, 12, (40, 5)))
    before = model.module.table.weight.detach().clone()
    small = run(
        model,
        [
            QuantizeStatic(RULES, task, precision=Precision({"*": 3})),
            pass_(task, samples=40),
        ],
    )
    assert torch.equal(small.module.table.weight, before)
    assert not torch.equal(small.module.inner.weight, model.module.inner.weight)


def test_outputs_without_examples_do_not_count_by_example() -> None:
    torch.manual_seed(0)
    model, task = made(Detector(), torch.randn(40, 3, 8, 8))
    small = run(model, [QuantizeStatic(RULES, task), LearnRanges(task, samples=40, steps=3)])
    boxes, anchors = small.module(*model.example_inputs)
    assert boxes.isfinite().all()
    torch.testing.assert_close(anchors, model.module.anchors)
    wanted = torch.ones(5, 4), torch.ones(7, 4)
    given = torch.full((5, 4), 1.5), torch.full((7, 4), 2.0)
    torch.testing.assert_close(SquaredError()(given, wanted), torch.full((5,), (0.25 + 1) / 2))


def test_blocks_whose_examples_lie_elsewhere_are_reconstructed() -> None:
    torch.manual_seed(0)
    model, task = made(TimeFirst(), torch.randn(50, 5, 6))
    passes = [
        QuantizeStatic(RULES, task, precision=Precision({"*": 3})),
        ReconstructBlocks(task, samples=50, steps=5),
    ]
    assert run(model, passes).module(*model.example_inputs).isfinite().all()


def test_a_network_of_doubles_is_reconstructed() -> None:
    torch.manual_seed(1)
    model, task = made(Block(writes=False).double(), torch.randn(40, 3, 8, 8).double())
    passes = [
        QuantizeStatic(RULES, task, precision=Precision({"*": 3})),
        ReconstructBlocks(task, samples=40, steps=3, learns_steps=True),
    ]
    assert run(model, passes).module(*model.example_inputs).dtype == torch.float64


def test_steps_that_are_powers_of_two_stay_so_while_others_learn() -> None:
    model, task = block(writes=False)
    rules = replace(RULES, activation=replace(RULES.activation, is_power_of_two=True))
    aware = run(model, [QuantizeAware(rules, task, learns_scales=True)])
    found = quantizers(aware.module).values()
    assert {q.learns for q in found if q.type.is_power_of_two} == {False}
    assert {q.learns for q in found if not q.type.is_power_of_two} == {True}
    for quantizer in found:
        quantizer.set_bits(5)
        if quantizer.type.is_power_of_two:
            assert quantizer.scale.log2().frac().abs().max() == 0


def test_one_score_is_no_class() -> None:
    labels = torch.zeros(4, dtype=torch.long)
    assert not are_class_scores(torch.randn(4, 1), labels)
    assert are_class_scores(torch.randn(4, 2), labels)


def test_a_loss_that_is_nan_is_not_chosen() -> None:
    found = front([[1.0, 2.0, 4.0]], [[float("nan"), 0.5, 0.1]])
    assert found.options(found.within(4.0)) == (2,)
    assert found.options(found.within(2.0)) == (1,)
    assert np.isinf(found.losses[0])


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("epochs", [1, 2, 4, 7])
def test_the_last_epoch_has_the_bits_that_were_asked_for(share: float, epochs: int) -> None:
    assert LowerBits(share=share).bits(2, epochs - 1, epochs) == 2
