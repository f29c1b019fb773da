from collections import Counter

import pytest
import torch
from torch import nn

from lilliput.core import Model, PassError, Task, run
from lilliput.graph import input_moments
from lilliput.prune import (
    NOfM,
    PerLayer,
    PruneSecondOrder,
    PruneWeights,
    WeightBlocks,
    masked,
    sparsity_of,
)
from lilliput.recipe import read, write
from lilliput.testing import TINY_TASKS, PassContract, learned

PATTERNS = [None, NOfM(2, 4), WeightBlocks(1, 4), WeightBlocks(4, 1)]


class TestPruneSecondOrder(PassContract):
    tasks = ("image_classifier", "two_input_transformer")

    @pytest.fixture
    def pass_(self, task: Task) -> PruneSecondOrder:
        return PruneSecondOrder(task, 0.5, samples=64)


class TestPruneSecondOrderInPattern(PassContract):
    tasks = ("image_classifier",)

    @pytest.fixture
    def pass_(self, task: Task) -> PruneSecondOrder:
        return PruneSecondOrder(task, pattern=NOfM(2, 4), samples=64)


def passes(task: Task, pattern, sparsity: float = 0.5) -> tuple[PruneSecondOrder, PruneWeights]:
    settings = {} if pattern is None else {"pattern": pattern}
    sparsity = None if pattern == NOfM(2, 4) else sparsity
    return (
        PruneSecondOrder(task, sparsity, damping=1e-4, **settings),
        PruneWeights(sparsity, allotment=PerLayer(), **settings),
    )


def layer_task(net: nn.Module, *shape: int) -> tuple[Model, Task]:
    """What a layer reads is correlated, as real activations are."""
    torch.manual_seed(0)
    x = torch.randn(256, *shape)
    mix = torch.randn(shape[0], shape[0]) / shape[0] ** 0.5
    x = torch.einsum("bc...,cd->bd...", x, mix + 0.5).relu()
    task = Task("layer", [(x, x)], [(x, x)], lambda y, _: y.square().mean(), Nothing())
    return Model(nn.Sequential(net), (x[:2],)), task


class Nothing:
    higher_is_better = True

    def update(self, outputs: object, labels: object, /) -> None: ...

    def compute(self) -> float:
        return 0.0


def error(model: Model, done: Model, task: Task) -> float:
    (x,) = next(task.calibration(256))
    with torch.no_grad():
        return float((model.module(x) - done.module(x)).double().square().sum())


def least(model: Model, done: Model, task: Task, name: str = "0") -> float:
    """The error of the best weights there are for the mask, row by row in closed form."""
    moments = input_moments(model.module, [name], task.calibration(256))[name]
    weight = model.module.get_submodule(name).weight.detach().double()
    keep = masked(done.module)[name]
    groups, fan = len(moments.second), moments.second.shape[-1]
    rows, kept = weight.reshape(groups, -1, fan), keep.reshape(groups, -1, fan)
    total = 0.0
    for group in range(groups):
        second = moments.second[group]
        for row, stays in zip(rows[group], kept[group], strict=True):
            best = torch.zeros_like(row)
            inner = second[stays][:, stays]
            best[stays] = torch.linalg.lstsq(inner, (second @ row)[stays]).solution
            total += float((best - row) @ second @ (best - row))
    return total * moments.count


LAYERS = {
    "linear": (lambda: nn.Linear(32, 24), (32,)),
    "convolution": (lambda: nn.Conv2d(8, 12, 3, padding=1), (8, 6, 6)),
    "grouped": (lambda: nn.Conv2d(16, 12, 3, groups=2), (16, 6, 6)),
    "line": (lambda: nn.Conv1d(8, 12, 3), (8, 12)),
}


@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
@pytest.mark.parametrize("kind", LAYERS)
def test_is_better_than_magnitude_and_near_the_best_for_its_mask(kind: str, pattern) -> None:
    make, shape = LAYERS[kind]
    torch.manual_seed(1)
    model, task = layer_task(make(), *shape)
    second, magnitude = passes(task, pattern)
    ours, plain = run(model, [second]), run(model, [magnitude])
    assert sparsity_of(ours.module) == pytest.approx(0.5, abs=0.02)
    ours_error = error(model, ours, task)
    assert ours_error < 0.7 * error(model, plain, task)
    best = least(model, ours, task)
    assert best * 0.999 <= ours_error < 1.02 * best


def test_with_nothing_to_prune_nothing_changes() -> None:
    model, task = layer_task(nn.Linear(32, 24), 32)
    done = run(model, [PruneSecondOrder(task, 0.0)])
    assert torch.equal(done.module[0].weight, model.module[0].weight)


def test_keeps_its_pattern() -> None:
    model, task = layer_task(nn.Conv2d(8, 12, 3), 8, 6, 6)
    mask = masked(run(model, [passes(task, NOfM(2, 4))[0]]).module)["0"]
    assert (mask.movedim(1, -1).reshape(-1, 4).sum(1) == 2).all()
    mask = masked(run(model, [passes(task, WeightBlocks(4, 1))[0]]).module)["0"]
    assert set(mask.movedim(0, -1).reshape(-1, 4).sum(1).tolist()) == {0, 4}


def test_goes_on_from_the_zeros_there_are() -> None:
    model, task = layer_task(nn.Linear(32, 24), 32)
    once = run(model, [PruneSecondOrder(task, 0.5)])
    twice = run(once, [PruneSecondOrder(task, 0.75)])
    assert sparsity_of(twice.module) == 0.75
    assert not (masked(twice.module)["0"] & ~masked(once.module)["0"]).any()


@pytest.mark.parametrize("tiny", list(TINY_TASKS))
def test_costs_a_network_less_than_magnitude(tiny: str) -> None:
    model, task = TINY_TASKS[tiny]()
    model = learned(model, task)
    second = run(model, [PruneSecondOrder(task, 0.6)])
    names = set(masked(second.module))
    every = masked(run(model, [PruneWeights(0.0)]).module)
    skip = tuple(name for name in every if name not in names)
    plain = run(model, [PruneWeights(0.6, allotment=PerLayer(), skip=skip)])

    @torch.no_grad()
    def loss(trial: Model) -> float:
        return sum(float(task.loss(trial.module(*x), y)) for x, y in task.batches("validation"))

    assert loss(second) < loss(plain)


def test_layers_that_cannot_be_looked_at_stay_dense_and_are_named() -> None:
    model, task = TINY_TASKS["image_to_image"]()
    model.module.out.padding_mode = "reflect"
    model.module.out._reversed_padding_repeated_twice = [1, 1, 1, 1]
    done = run(model, [PruneSecondOrder(task)])
    assert set(masked(done.module)) == {"down", "middle"}
    assert "up, out" in str(done.notes[0])
    assert Counter(str(note) for note in done.notes).most_common(1)[0][1] == 1


def test_says_what_is_wrong() -> None:
    model, task = TINY_TASKS["image_classifier"]()
    with pytest.raises(ValueError, match="samples must be 1 or more, got 0"):
        PruneSecondOrder(task, samples=0)
    with pytest.raises(ValueError, match="damping must be more than 0"):
        PruneSecondOrder(task, damping=0.0)
    with pytest.raises(ValueError, match="leave sparsity out"):
        PruneSecondOrder(task, 0.9, NOfM())
    with pytest.raises(PassError, match="did you mean 'head'"):
        run(model, [PruneSecondOrder(task, skip=("heda",))])
    assert read(write([PruneSecondOrder(task, 0.7)]), task) == (PruneSecondOrder(task, 0.7),)
