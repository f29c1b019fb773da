"""Statistics against those of what the norms read, computed beside them."""

import copy

import pytest
import torch
from torch import nn

from lilliput.core import Model, Task, run
from lilliput.testing import TINY_TASKS, PassContract
from lilliput.train import RecalibrateNorms


class TestContract(PassContract):
    tasks = ("image_classifier",)

    @pytest.fixture
    def pass_(self, task: Task) -> RecalibrateNorms:
        return RecalibrateNorms(task, samples=64)


def spoiled(model: Model) -> Model:
    """With statistics of something else."""
    wrong = model.clone()
    for part in wrong.module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.add_(3)
            part.running_var.mul_(9)
    return wrong


def test_one_batch_gives_its_mean_and_unbiased_variance() -> None:
    model, task = TINY_TASKS["image_classifier"]()
    done = run(spoiled(model), [RecalibrateNorms(task, samples=32)])
    ((image,),) = task.calibration(32)
    read = model.module.stem[0](image).detach().transpose(0, 1).flatten(1)
    norm = done.module.stem[1]
    torch.testing.assert_close(norm.running_mean, read.mean(1))
    torch.testing.assert_close(norm.running_var, read.var(1))
    assert norm.momentum == model.module.stem[1].momentum
    assert not any(part.training for part in done.module.modules())


def test_every_example_counts_the_same() -> None:
    """Also in a last batch that is smaller: means are those of all examples at once."""
    model, task = TINY_TASKS["image_classifier"]()
    done = run(spoiled(model), [RecalibrateNorms(task, samples=40)])
    image = torch.cat([inputs[0] for inputs in task.calibration(40)])
    read = model.module.stem[0](image).detach().transpose(0, 1).flatten(1)
    torch.testing.assert_close(done.module.stem[1].running_mean, read.mean(1))


def test_is_what_torch_gives_in_train_mode() -> None:
    model, task = TINY_TASKS["image_to_image"]()
    done = run(spoiled(model), [RecalibrateNorms(task, samples=96)])
    twin = copy.deepcopy(model.module).train()
    for part in twin.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.reset_running_stats()
            part.momentum = None  # torch's cumulative average
    with torch.no_grad():
        for inputs in task.calibration(96):
            twin(*inputs)
    for name in ("bn1", "bn2"):
        ours, theirs = done.module.get_submodule(name), twin.get_submodule(name)
        torch.testing.assert_close(ours.running_mean, theirs.running_mean)
        torch.testing.assert_close(ours.running_var, theirs.running_var)


def test_a_network_without_norms_stays_and_says_so() -> None:
    model, task = TINY_TASKS["two_output_regressor"]()
    done = run(model, [RecalibrateNorms(task)])
    assert [note.text for note in done.notes] == [
        "no BatchNorm keeps statistics, so none were measured anew"
    ]


def test_a_single_example_left_over_is_no_batch() -> None:
    net = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)).eval()
    model = Model(net, (torch.randn(2, 6),))
    _, task = TINY_TASKS["two_output_regressor"]()
    done = run(model, [RecalibrateNorms(task, samples=33)])
    read = net[0](task.train[0][0]).detach()
    torch.testing.assert_close(done.module[1].running_mean, read.mean(0))


def test_refuses_too_few_samples() -> None:
    _, task = TINY_TASKS["image_classifier"]()
    with pytest.raises(ValueError, match="samples must be 2 or more, got 1"):
        RecalibrateNorms(task, samples=1)
