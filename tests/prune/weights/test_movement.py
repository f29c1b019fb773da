import itertools

import pytest
import torch
from torch import nn

from lilliput.core import Model, PassError, Task, run
from lilliput.graph.masks import mask_of
from lilliput.prune import (
    FixMasks,
    MovementPruning,
    PruneChannels,
    PruneWeights,
    ScoreMovement,
    masked,
    sparsity_of,
)
from lilliput.testing import TINY_TASKS, PassContract, learned
from lilliput.train import SGD, FineTune, Training


class TestScoreMovement(PassContract):
    tasks = ("image_classifier",)

    @pytest.fixture
    def pass_(self) -> ScoreMovement:
        return ScoreMovement()


class TestFixMasks(PassContract):
    tasks = ("image_classifier",)

    @pytest.fixture
    def pass_(self) -> FixMasks:
        return FixMasks()

    @pytest.fixture
    def model(self, tiny: str) -> Model:
        model = TINY_TASKS[tiny]()[0]
        return Model(run(model, [PruneWeights(0.4), ScoreMovement()]).module, model.example_inputs)


def test_a_score_learns_by_the_gradient_of_its_masked_weight_times_the_weight() -> None:
    net = nn.Sequential(nn.Linear(5, 4, bias=False))
    x = torch.randn(7, 5)
    done = run(Model(net, (x,)), [PruneWeights(0.5), ScoreMovement()]).module.train()
    layer = done[0]
    done(x).square().sum().backward()
    effective = layer.weight.detach().clone().requires_grad_()
    (x @ effective.T).square().sum().backward()
    weight = net[0].weight.detach()
    torch.testing.assert_close(mask_of(layer).scores.grad, effective.grad * weight)
    kept = effective.grad * masked(done)["0"]
    torch.testing.assert_close(layer.parametrizations.weight.original.grad, kept)


def test_plain_descent_sums_up_movement() -> None:
    model, task = TINY_TASKS["two_output_regressor"]()
    prepared = run(model, [ScoreMovement()])
    expected = torch.zeros_like(model.module.speed.weight)
    weights = []

    class Notes:
        def on_step(self, module: nn.Module, step: int, steps: int, /) -> None:
            weights.append(module.speed.weight.detach().clone())

        def on_epoch(self, module: nn.Module, epoch: int, epochs: int, /) -> None:
            if not weights:
                weights.append(module.speed.weight.detach().clone())

        def penalty(self, module: nn.Module, /) -> None: ...

    training = Training(SGD(momentum=0.0, weight_decay=0.0))
    done = run(prepared, [FineTune(task, 2, 0.05, training, hooks=(Notes(),))])
    for before, after in itertools.pairwise(weights):
        expected += before * (after - before)  # -rate * weight * gradient
    scores = mask_of(done.module.speed).scores
    torch.testing.assert_close(scores.detach(), expected, rtol=1e-3, atol=1e-6)


def fine_tuned(model: Model, task: Task, **settings: object) -> Model:
    hook = MovementPruning(0.8, every=2, **settings)
    return run(model, [ScoreMovement(), FineTune(task, 4, 0.02, hooks=(hook,)), FixMasks()])


def test_keeps_the_highest_scores_and_leaves_plain_masks() -> None:
    model, task = TINY_TASKS["image_classifier"]()
    model = learned(model, task, 3)
    done = fine_tuned(model, task)
    assert sparsity_of(done.module) == pytest.approx(0.8, abs=0.002)
    assert sum(p.numel() for p in done.module.parameters()) == sum(
        p.numel() for p in model.module.parameters()
    )
    small = run(done, [PruneChannels(0.5), FineTune(task)])
    assert sparsity_of(small.module) > 0.5


def test_differs_from_magnitude() -> None:
    model, task = TINY_TASKS["image_classifier"]()
    model = learned(model, task, 3)
    ours = masked(fine_tuned(model, task).module)
    theirs = masked(run(model, [PruneWeights(0.8)]).module)
    assert any(not torch.equal(ours[name], theirs[name]) for name in ours)


def test_asks_for_scores() -> None:
    model, task = TINY_TASKS["image_classifier"]()
    with pytest.raises(PassError, match=r"put ScoreMovement\(\) before the training"):
        run(model, [PruneWeights(0.0), FineTune(task, hooks=(MovementPruning(0.9),))])
    with pytest.raises(ValueError, match="must be"):
        MovementPruning(0.9, start=0.9, end=0.1)
