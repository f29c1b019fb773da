from pathlib import Path

import numpy as np
import pytest
import torch
from tests.edit.inputs import correlated, task_of
from tests.graph.structures import STRUCTURES, build
from torch import nn

from lilliput.core import Model, Pass, PassError, Task, run
from lilliput.edit import SeparateConvolutions
from lilliput.export.onnx.format import Onnx
from lilliput.graph import cost, trace
from lilliput.testing import TINY_TASKS, PassContract


class TestSeparateConvolutions(PassContract):
    tasks = ("image_classifier",)

    @pytest.fixture
    def pass_(self, task: Task) -> Pass:
        return SeparateConvolutions(task=task, samples=32)


LAYERS = {
    "plain": (lambda: nn.Conv2d(6, 8, 3, padding=1), (4, 6, 9, 8)),
    "strided": (lambda: nn.Conv2d(6, 5, 3, 2, 2, 2, bias=False), (4, 6, 9, 12)),
    "uneven": (lambda: nn.Conv2d(6, 5, (1, 5), padding=(0, 2)), (4, 6, 9, 12)),
    "line": (lambda: nn.Conv1d(6, 5, 3, padding="same"), (4, 6, 15)),
}


def made(name: str) -> tuple[Model, Task, torch.Tensor]:
    make, shape = LAYERS[name]
    torch.manual_seed(0)
    inputs = correlated(shape)
    return Model(nn.Sequential(make()).eval(), (inputs[0],)), task_of(inputs[:-1]), inputs[-1]


@pytest.mark.parametrize("has_task", [False, True])
@pytest.mark.parametrize("multiplier", [1, 2])
@pytest.mark.parametrize("name", list(LAYERS))
def test_kernels_of_that_rank_compute_the_same(name: str, multiplier: int, has_task: bool) -> None:
    model, task, x = made(name)
    weight = model.module[0].weight
    with torch.no_grad():
        flat = weight.flatten(2).transpose(0, 1)
        u, s, v = torch.linalg.svd(flat, full_matrices=False)
        low = (u[..., :multiplier] * s[:, None, :multiplier]) @ v[:, :multiplier]
        weight.copy_(low.transpose(0, 1).reshape(weight.shape))
    pass_ = SeparateConvolutions(task=task if has_task else None, multiplier=multiplier)
    apart = run(model, [pass_])
    around, mix = apart.module.get_submodule("0")
    assert (around.groups, around.out_channels) == (6, 6 * multiplier)
    assert max(mix.kernel_size) == 1
    torch.testing.assert_close(apart.module(x), model.module(x), rtol=1e-4, atol=1e-4)


def test_as_many_kernels_as_weights_compute_the_same() -> None:
    model, task, x = made("plain")
    apart = run(model, [SeparateConvolutions(task=task, multiplier=10)])
    torch.testing.assert_close(apart.module(x), model.module(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", list(LAYERS))
def test_fitted_parts_lose_less_and_sweeps_still_less(name: str) -> None:
    model, task, _ = made(name)
    x = torch.cat([inputs[0] for inputs, _ in task.batches("train")])
    passes = [
        SeparateConvolutions(),
        SeparateConvolutions(task=task, sweeps=0),
        SeparateConvolutions(task=task, sweeps=4),
    ]
    lost = [
        float((run(model, [pass_]).module(x) - model.module(x)).square().mean().detach())
        for pass_ in passes
    ]
    assert lost[1] < 0.9 * lost[0]
    assert lost[2] < lost[1]


def test_without_data_one_channel_gives_the_svd_of_its_kernels() -> None:
    """Network decoupling: channels do not meet in the error of the weights."""
    model, _, _ = made("plain")
    around, mix = run(model, [SeparateConvolutions()]).module.get_submodule("0")
    product = torch.einsum("oi,ik->oik", mix.weight.flatten(1), around.weight.flatten(1))
    flat = model.module[0].weight.flatten(2).transpose(0, 1)
    u, s, v = torch.linalg.svd(flat, full_matrices=False)
    expected = ((u[..., :1] * s[:, None, :1]) @ v[:, :1]).transpose(0, 1)
    torch.testing.assert_close(product, expected, rtol=1e-4, atol=1e-5)


def test_costs_what_mobilenets_say() -> None:
    """A share of 1/out + 1/kernel^2 of the multiplications; Howard et al. 2017, section 3.1."""
    model, _, _ = made("plain")
    macs = [
        sum(row.macs for row in cost(trace(m)))
        for m in (model, run(model, [SeparateConvolutions()]))
    ]
    assert macs[1] / macs[0] == pytest.approx(1 / 8 + 1 / 9)


@pytest.mark.parametrize("name", ["option A", "grouped", "two heads, shared module", "masked"])
def test_networks_of_many_structures_survive(name: str) -> None:
    assert name in STRUCTURES
    module, inputs = build(name)
    trace(run(Model(module, inputs), [SeparateConvolutions()]))


def test_the_onnx_file_says_the_same(tmp_path: Path) -> None:
    model, task = TINY_TASKS["image_to_image"]()
    done = run(model, [SeparateConvolutions(task=task, samples=32)])
    Onnx().write(done, tmp_path / "small.onnx", None)
    (output,) = Onnx().load(tmp_path / "small.onnx", 1)((done.example_inputs[0].numpy(),))
    np.testing.assert_allclose(
        output, done.module(*done.example_inputs).detach().numpy(), rtol=1e-4, atol=1e-5
    )


def test_names_what_cannot_be_separated() -> None:
    model, _ = TINY_TASKS["image_classifier"]()
    with pytest.raises(PassError, match="'depthwise' is no convolution of one group"):
        run(model, [SeparateConvolutions(layers=("depthwise",))])
    with pytest.raises(ValueError, match="multiplier must be 1 or more, got 0"):
        SeparateConvolutions(multiplier=0)
