import pytest
import torch
from tests.graph.structures import build
from torch import nn

from lilliput.core import Model, TrainingHook, run
from lilliput.core.passes import settings
from lilliput.graph import channel_groups, trace
from lilliput.prune import GroupSparsity, PruneChannels, ScaleSparsity
from lilliput.recipe import read, write
from lilliput.testing import TINY_TASKS
from lilliput.train import FineTune


@torch.no_grad()
def test_scale_sparsity_is_the_sum_of_the_batch_norm_weights() -> None:
    net, _ = build("depthwise")
    gammas = [m.weight for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    expected = 0.5 * sum(float(gamma.abs().sum()) for gamma in gammas)
    assert float(ScaleSparsity(0.5).penalty(net)) == pytest.approx(expected, rel=1e-5)
    assert ScaleSparsity().penalty(nn.Linear(2, 2)) is None


@pytest.mark.parametrize("tiny", list(TINY_TASKS))
@torch.no_grad()
def test_group_sparsity_is_its_formula_slice_by_slice(tiny: str) -> None:
    model, task = TINY_TASKS[tiny]()
    hook = GroupSparsity(task, 0.1, alpha=3.0)
    hook.on_epoch(model.module, 0, 1)
    weights = dict(model.module.named_parameters(remove_duplicate=False))
    expected = 0.0
    for group in channel_groups(trace(model)):
        if group.kind == "channels":
            sizes = [
                sum(
                    float(weights[s.tensor].select(s.axis, s.index).square().sum())
                    for s in unit
                    if s.tensor in weights
                )
                for unit in group.units
            ]
            most, least = max(sizes), min(sizes)
            expected += sum(2 ** (3.0 * (most - x) / (most - least)) * x for x in sizes)
    assert float(hook.penalty(model.module)) == pytest.approx(0.1 * expected, rel=1e-4)


def test_the_smallest_unit_shrinks_most() -> None:
    model, task = TINY_TASKS["two_output_regressor"]()
    hook = GroupSparsity(task, alpha=4.0)
    hook.on_epoch(model.module, 0, 1)
    hook.penalty(model.module).backward()
    first = model.module.body[0]
    # gradient over weight is two times strength times the factor
    factors = (first.weight.grad / first.weight.detach() / 2e-4).mean(1)
    assert factors.max().item() == pytest.approx(16, rel=1e-3)
    assert factors.min().item() == pytest.approx(1, rel=1e-3)


@pytest.mark.parametrize("kind", [ScaleSparsity, GroupSparsity])
def test_training_with_it_makes_removal_cheaper(kind: type) -> None:
    model, task = TINY_TASKS["image_classifier"]()
    hook = ScaleSparsity(0.01) if kind is ScaleSparsity else GroupSparsity(task, 3e-3)
    assert isinstance(hook, TrainingHook)

    def worse(hooks: tuple[TrainingHook, ...]) -> float:
        trained = run(model, [FineTune(task, epochs=12, hooks=hooks)])
        small = run(trained, [PruneChannels(0.34)])
        inputs, _ = next(task.batches("validation"))
        with torch.no_grad():
            before, after = trained.module(*inputs), small.module(*inputs)
        return float((before - after).square().mean() / before.square().mean())

    assert worse((hook,)) < worse(())


@torch.no_grad()
def test_finds_the_groups_of_each_network_it_is_given() -> None:
    one, task = TINY_TASKS["two_output_regressor"]()
    hook = GroupSparsity(task)
    hook.on_epoch(one.module, 0, 2)
    narrow = PruneChannels(0.5)(one)
    hook.on_epoch(narrow.module, 1, 2)
    assert 0 < float(hook.penalty(narrow.module)) < float(hook.strength * 16 * _squares(narrow))


def _squares(model: Model) -> float:
    return 2 * sum(float(p.square().sum()) for p in model.module.parameters())


def test_is_written_in_a_recipe_and_read_back() -> None:
    _, task = TINY_TASKS["image_classifier"]()
    passes = (FineTune(task, hooks=(ScaleSparsity(0.01), GroupSparsity(task, 1e-3))),)
    assert read(write(passes), task) == passes
    assert settings(passes[0])["hooks"][1] == {
        "name": "GroupSparsity",
        "task": task.name,
        "strength": 1e-3,
        "alpha": 4.0,
    }


def test_refuses_a_negative_strength() -> None:
    _, task = TINY_TASKS["image_classifier"]()
    for make in (lambda: ScaleSparsity(-1.0), lambda: GroupSparsity(task, -1.0)):
        with pytest.raises(ValueError, match="strength must be 0 or more, got -1"):
            make()
