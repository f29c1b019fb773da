from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from lilliput.core import Model, TaskError, UnsupportedError
from lilliput.graph import channel_groups, trace
from lilliput.prune import BatchNormScale, Magnitude, PruneChannels, Random, Taylor
from lilliput.testing import TINY_TASKS


@pytest.fixture
def model() -> Model:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 4, 1))
    nn.init.uniform_(net[1].weight, 0.1, 2)
    return Model(net.eval(), (torch.randn(2, 3, 5, 5),))


@pytest.mark.parametrize("p", [1.0, 2.0])
def test_magnitude_is_the_norm_of_what_goes(model: Model, p: float) -> None:
    groups = channel_groups(trace(model)).groups
    made, read = model.module[0].weight, model.module[3].weight
    expected = torch.stack(
        [torch.cat([made[k].flatten(), read[:, k].flatten()]).norm(p) for k in range(6)]
    )
    scores = Magnitude(p)(model, groups)["0"]
    torch.testing.assert_close(scores, (expected / expected.mean()).detach())


def test_batch_norm_scale_is_gamma(model: Model) -> None:
    groups = channel_groups(trace(model)).groups
    gamma = model.module[1].weight.detach()
    torch.testing.assert_close(BatchNormScale()(model, groups)["0"], gamma / gamma.mean())


def test_batch_norm_scale_names_groups_without_one() -> None:
    model = Model(nn.Sequential(nn.Linear(3, 6), nn.Linear(6, 2)), (torch.randn(2, 3),))
    groups = channel_groups(trace(model)).groups
    with pytest.raises(UnsupportedError, match=r"'0'.*Magnitude"):
        BatchNormScale()(model, groups)


def test_taylor_is_weight_times_gradient_batch_by_batch() -> None:
    model, task = TINY_TASKS["image_classifier"]()
    group = channel_groups(trace(model)).groups[0]
    total = torch.zeros(group.size)
    seen = 0
    for inputs, labels in task.batches("train"):
        module = model.clone().module.eval()
        task.loss(module(*inputs), labels).backward()
        named = dict(module.named_parameters())
        for k, unit in enumerate(group.units):
            for site in unit:
                if site.tensor in named:
                    weight = named[site.tensor]
                    change = (weight * weight.grad).abs().detach()
                    total[k] += change.select(site.axis, site.index).sum()
        seen += len(labels)
        if seen >= 40:
            break
    scores = Taylor(task, samples=40)(model, [group])[group.name]
    torch.testing.assert_close(scores, total / total.mean())
    assert all(p.grad is None for p in model.module.parameters())


def test_taylor_counts_frozen_parameters_like_others() -> None:
    model, task = TINY_TASKS["image_classifier"]()
    groups = channel_groups(trace(model)).groups
    expected = Taylor(task, samples=32)(model, groups)
    model.module.requires_grad_(False)
    scores = Taylor(task, samples=32)(model, groups)
    for name, score in expected.items():
        torch.testing.assert_close(scores[name], score)
    assert not any(p.requires_grad for p in model.module.parameters())


class Unused(nn.Module):
    """Half of the units lead nowhere, and a layer does not run."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 8), nn.Linear(8, 3)
        self.idle = nn.Linear(4, 4)
        nn.init.zeros_(self.last.weight[:, :4])

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.first(x).relu())


def test_taylor_takes_what_the_loss_does_not_depend_on_as_0() -> None:
    _, task = TINY_TASKS["two_output_regressor"]()
    task = replace(task, loss=lambda y, _: y.square().mean())
    net = Unused()
    model = Model(net, (torch.randn(2, 6),))
    (group,) = channel_groups(trace(model)).groups
    scores = Taylor(task, samples=32)(model, [group])["first"]
    assert scores[:4].sum() == 0
    assert bool((scores[4:] > 0).all())
    small = PruneChannels(0.5, Taylor(task, samples=32))(model)
    torch.testing.assert_close(small.module.first.weight, net.first.weight[4:])


def test_taylor_says_that_the_loss_depends_on_nothing() -> None:
    model, task = TINY_TASKS["two_output_regressor"]()
    task = replace(task, name="cut", loss=lambda y, _: y[0].detach().sum())
    groups = channel_groups(trace(model)).groups
    with pytest.raises(TaskError, match=r"'cut' depends on no parameter.*no_grad"):
        Taylor(task)(model, groups)


def test_random_repeats_itself_for_a_seed() -> None:
    model, _ = TINY_TASKS["two_output_regressor"]()
    groups = channel_groups(trace(model)).groups
    once, again, other = (Random(seed)(model, groups) for seed in (1, 1, 2))
    assert all(torch.equal(once[g.name], again[g.name]) for g in groups)
    assert not any(torch.equal(once[g.name], other[g.name]) for g in groups)
