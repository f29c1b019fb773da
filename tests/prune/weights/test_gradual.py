import pytest
import torch
from torch import nn

from lilliput.core import Model, PassError, Task, run
from lilliput.prune import (
    GradualPruning,
    HoldZeros,
    NOfM,
    PerLayer,
    PruneWeights,
    WeightBlocks,
    masked,
    sparsity_of,
)
from lilliput.prune.weights.gradual import Growth
from lilliput.recipe import read, write
from lilliput.testing import TINY_TASKS
from lilliput.train import SGD, FineTune, Training


class Watched:
    """The sparsity after each step of another hook, and where it fails."""

    def __init__(self, hook: object, fails_at: int = -1) -> None:
        self.hook, self.fails_at = hook, fails_at
        self.sparsity: list[float] = []

    def on_step(self, module: nn.Module, step: int, steps: int, /) -> None:
        self.hook.on_step(module, step, steps)
        self.sparsity.append(sparsity_of(module))
        if step == self.fails_at:
            raise RuntimeError("died")

    def on_epoch(self, module: nn.Module, epoch: int, epochs: int, /) -> None:
        self.hook.on_epoch(module, epoch, epochs)

    def penalty(self, module: nn.Module, /) -> None: ...


@pytest.fixture
def prepared() -> tuple[Model, Task]:
    model, task = TINY_TASKS["image_classifier"]()
    return run(model, [PruneWeights(0.0)]), task


@pytest.mark.parametrize("initial", [0.0, 0.3])
@pytest.mark.parametrize("every", [1, 7, 1000])
def test_follows_the_cubic_schedule(initial: float, every: int) -> None:
    growth, steps, final, now = Growth(0.1, 0.8, every), 200, 0.9, initial
    for step in range(steps):
        if not growth.is_due(step, steps):
            continue
        now = growth.after(step, steps, now, final)
        progress = (step + 1 - 20) / 140
        assert now == pytest.approx(final + (initial - final) * (1 - progress) ** 3)
    assert now == final


def test_sparsity_grows_while_training(prepared) -> None:
    model, task = prepared
    hook = Watched(GradualPruning(0.9, start=0.25, end=0.75, every=2))
    done = run(model, [FineTune(task, 4, 0.01, hooks=(hook,))])
    assert hook.sparsity[5] == 0
    assert hook.sparsity == sorted(hook.sparsity)
    assert hook.sparsity[17] == hook.sparsity[23] == pytest.approx(0.9, abs=0.001)
    half = 0.9 * (1 - 0.5**3)
    assert hook.sparsity[11] == pytest.approx(half, abs=0.002)
    assert sparsity_of(done.module) == pytest.approx(0.9, abs=0.001)
    for mask in masked(done.module).values():
        assert mask.any()


def test_weights_come_back_where_they_turn_out_larger(prepared) -> None:
    model, _ = prepared
    hook = GradualPruning(0.5, end=1.0, every=1, allotment=PerLayer())
    hook.on_step(model.module, 0, 2)
    first = masked(model.module)["conv1"].clone()
    layer = model.module.conv1
    with torch.no_grad():
        layer.parametrizations.weight.original[~first] += 10
    hook.on_step(model.module, 1, 2)
    assert masked(model.module)["conv1"][~first].all()


@pytest.mark.parametrize("pattern", [NOfM(2, 4), WeightBlocks(4, 1)])
def test_ends_in_its_pattern(prepared, pattern) -> None:
    model, task = prepared
    hook = GradualPruning(pattern=pattern, every=2)
    done = run(model, [FineTune(task, 2, hooks=(hook,))])
    mask = masked(done.module)["conv1"]
    if pattern == NOfM(2, 4):
        assert (mask.movedim(1, -1).reshape(-1, 4).sum(1) == 2).all()
        assert masked(done.module)["stem.0"].all()
    else:
        tiles = mask.movedim(0, -1).reshape(-1, 4).sum(1)
        assert set(tiles.tolist()) == {0, 4}


@pytest.mark.parametrize("is_mid_epoch", [False, True])
def test_goes_on_with_the_same_masks(prepared, tmp_path, monkeypatch, is_mid_epoch: bool) -> None:
    model, task = prepared
    if is_mid_epoch:
        monkeypatch.setattr("lilliput.train.watch._SAVE_EVERY_S", 0.0)

    def fine_tune(fails_at: int, folder=None) -> FineTune:
        hook = Watched(GradualPruning(0.9, every=5), fails_at)
        training = Training(SGD(), ema_decay=0.9)
        return FineTune(task, 4, 0.01, training, hooks=(hook,), checkpoint=folder)

    expected = run(model, [fine_tune(-1)])
    with pytest.raises(PassError, match="died"):
        run(model, [fine_tune(15, tmp_path)])
    done = run(model, [fine_tune(-1, tmp_path)])
    theirs = expected.module.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in done.module.state_dict().items())
    assert sparsity_of(done.module) == pytest.approx(0.9, abs=0.001)


@pytest.mark.parametrize("steps", [1, 2, 3, 10])
@pytest.mark.parametrize(("start", "end"), [(0.0, 1.0), (0.9, 0.95), (0.0, 0.01)])
def test_short_trainings_end_as_sparse(steps: int, start: float, end: float) -> None:
    growth, now = Growth(start, end, 3), 0.0
    for step in range(steps):
        if growth.is_due(step, steps):
            now = growth.after(step, steps, now, 0.9)
    assert now == 0.9


def test_asks_for_masks() -> None:
    model, task = TINY_TASKS["image_classifier"]()
    with pytest.raises(PassError, match=r"put PruneWeights\(0.0\) before the training"):
        run(model, [FineTune(task, hooks=(GradualPruning(0.9),))])


@pytest.mark.parametrize(
    "settings", [{"start": 0.8}, {"end": 1.5}, {"start": -0.1}, {"every": 0}, {"sparsity": 1.0}]
)
def test_refuses_settings_out_of_range(settings) -> None:
    with pytest.raises(ValueError, match="must be"):
        GradualPruning(**settings)


def test_reads_back_from_a_recipe() -> None:
    _, task = TINY_TASKS["image_classifier"]()
    hooks = (GradualPruning(0.9, every=10, allotment=PerLayer()), HoldZeros())
    again = read(write([PruneWeights(0.0), FineTune(task, 2, hooks=hooks)]), task)
    assert again[1].hooks[0] == hooks[0]
    assert isinstance(again[1].hooks[1], HoldZeros)
