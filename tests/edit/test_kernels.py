import pytest
import torch
from tests.edit.inputs import correlated, task_of
from torch import nn

from lilliput.core import Model, Pass, PassError, Task, run
from lilliput.edit import ShrinkKernels
from lilliput.testing import PassContract


class TestShrinkKernels(PassContract):
    tasks = ("image_classifier",)

    @pytest.fixture
    def pass_(self, task: Task) -> Pass:
        return ShrinkKernels(1, task=task, samples=32)


LAYERS = {
    "plain": (lambda: nn.Conv2d(6, 8, 5, padding=2), (4, 6, 9, 8)),
    "strided": (lambda: nn.Conv2d(6, 5, 5, 2, 4), (4, 6, 19, 15)),
    "depthwise": (lambda: nn.Conv2d(6, 12, 5, padding=3, groups=6), (4, 6, 9, 8)),
    "uneven": (lambda: nn.Conv2d(6, 5, (1, 7), padding=(0, 3)), (4, 6, 9, 12)),
    "line": (lambda: nn.Conv1d(6, 5, 9, padding=4), (4, 6, 15)),
    "same": (lambda: nn.Conv2d(6, 5, 5, padding="same"), (4, 6, 9, 8)),
}


def made(name: str) -> tuple[Model, Task, torch.Tensor]:
    make, shape = LAYERS[name]
    torch.manual_seed(0)
    inputs = correlated(shape)
    return Model(nn.Sequential(make()).eval(), (inputs[0],)), task_of(inputs[:-1]), inputs[-1]


def inside(weight: torch.Tensor) -> tuple[slice, ...]:
    margins = [max(0, size - 3) // 2 for size in weight.shape[2:]]
    window = [slice(m, n - m) for m, n in zip(margins, weight.shape[2:], strict=True)]
    return (slice(None), slice(None), *window)


@pytest.mark.parametrize("has_task", [False, True])
@pytest.mark.parametrize("name", list(LAYERS))
def test_a_kernel_with_an_empty_rim_computes_the_same(name: str, has_task: bool) -> None:
    model, task, x = made(name)
    weight = model.module[0].weight
    with torch.no_grad():
        mask = torch.zeros_like(weight)
        mask[inside(weight)] = 1
        weight.mul_(mask)
    small = run(model, [ShrinkKernels(task=task if has_task else None)])
    assert max(small.module[0].kernel_size) == 3
    torch.testing.assert_close(small.module(x), model.module(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", list(LAYERS))
def test_without_data_the_rim_is_dropped(name: str) -> None:
    model, _, _ = made(name)
    small = run(model, [ShrinkKernels()])
    weight = model.module[0].weight
    torch.testing.assert_close(small.module[0].weight, weight[inside(weight)])


@pytest.mark.parametrize("name", list(LAYERS))
def test_a_fitted_centre_loses_less(name: str) -> None:
    model, task, x = made(name)
    lost = [
        float((run(model, [pass_]).module(x) - model.module(x)).square().mean().detach())
        for pass_ in (ShrinkKernels(), ShrinkKernels(task=task))
    ]
    assert lost[1] < 0.8 * lost[0]


def test_the_fit_is_that_of_a_linear_regression() -> None:
    model, task, _ = made("plain")
    small = run(model, [ShrinkKernels(task=task, samples=60)]).module[0]
    whole = model.module[0]
    with torch.no_grad():
        x = torch.cat([inputs[0] for inputs, _ in task.batches("train")])
        target = whole(x).movedim(1, -1).reshape(-1, 8).double()
        read = nn.functional.unfold(x, 3, padding=1).mT.flatten(0, 1).double()
        read = torch.cat([read, torch.ones(len(read), 1).double()], 1)
        solved = torch.linalg.lstsq(read, target).solution
        error = [
            (p - target).square().mean()
            for p in (read @ solved, small(x).movedim(1, -1).reshape(-1, 8).double())
        ]
    assert error[1] < 1.001 * error[0]


def test_names_what_cannot_shrink() -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 4, 4, padding=2), nn.Conv2d(4, 4, 5), nn.Conv2d(4, 4, 5, padding=2)
    )
    model = Model(net.eval(), (torch.randn(1, 3, 12, 12),))
    for name in ("0", "1"):
        with pytest.raises(
            PassError, match=f"'{name}' is no convolution that can shrink to 3; known: 2"
        ):
            run(model, [ShrinkKernels(layers=(name,))])
    with pytest.raises(ValueError, match="size must be 1 or more, got 0"):
        ShrinkKernels(0)
