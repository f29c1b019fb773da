import pytest
import torch
from torch import nn

from lilliput.core import Model, UnsupportedError
from lilliput.graph import channel_groups, trace
from lilliput.prune import BatchNormScale, Magnitude, Taylor
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
