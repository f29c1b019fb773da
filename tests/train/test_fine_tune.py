import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from lilliput.core import Accuracy, Model, Pass, PassError, Task, TaskError, run
from lilliput.graph import capture
from lilliput.testing import TINY_TASKS, PassContract
from lilliput.train import SGD, AdamW, Constant, FineTune, Training

PLAIN = Training(
    SGD(momentum=0.0, weight_decay=0.0, nesterov=False),
    Constant(),
    precision="32-true",
    channels_last=False,
)


def loss_of(model: Model, task: Task) -> float:
    with torch.no_grad():
        losses = [task.loss(model.module(*x), y) for x, y in task.batches("train")]
    return float(torch.stack(losses).mean())


class TestFineTune(PassContract):
    @pytest.fixture
    def pass_(self, task: Task) -> Pass:
        return FineTune(task, epochs=3, learning_rate=0.02)

    def test_lowers_the_loss(self, done: Model, model: Model, task: Task) -> None:
        assert loss_of(done, task) < loss_of(model, task)

    def test_trains_a_captured_graph(self, pass_: Pass, model: Model, task: Task) -> None:
        captured = capture(model)
        done = run(captured, [pass_])
        assert isinstance(done.module, torch.fx.GraphModule)
        assert loss_of(done, task) < loss_of(captured, task)


@pytest.fixture
def regressor() -> tuple[Model, Task]:
    return TINY_TASKS["two_output_regressor"]()


def test_plain_training_is_gradient_descent(regressor) -> None:
    model, task = regressor
    expected = copy.deepcopy(model.module).train()
    for inputs, labels in task.batches("train"):
        loss = task.loss(expected(*inputs), labels)
        gradients = torch.autograd.grad(loss, list(expected.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(expected.parameters(), gradients, strict=True):
                parameter.sub_(0.1 * gradient)
    done = run(model, [FineTune(task, 1, 0.1, PLAIN)])
    for found, wanted in zip(done.module.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(found, wanted)


def test_a_clipped_step_is_as_long_as_said(regressor) -> None:
    model, task = regressor
    one_batch = Task("one", task.train[:1], [], task.loss, task.metric)
    training = Training(PLAIN.optimizer, Constant(), clip_norm=0.01, precision="32-true")
    done = run(model, [FineTune(one_batch, 1, 1.0, training)])
    pairs = zip(done.module.parameters(), model.module.parameters(), strict=True)
    moved = torch.cat([(new - old).flatten() for new, old in pairs])
    assert moved.norm().item() == pytest.approx(0.01, rel=1e-3)


def test_the_mean_of_the_weights_replaces_them(regressor) -> None:
    model, task = regressor
    training = Training(PLAIN.optimizer, Constant(), ema_decay=0.5, precision="32-true")
    seen: list[torch.Tensor] = []

    class Watch:
        def on_step(self, module: nn.Module, step: int, steps: int, /) -> None:
            seen.append(module.speed.weight.detach().clone())

        def on_epoch(self, module: nn.Module, epoch: int, epochs: int, /) -> None: ...

        def penalty(self, module: nn.Module, /) -> None: ...

    done = run(model, [FineTune(task, 1, 0.1, training, hooks=(Watch(),))])
    mean = model.module.speed.weight.detach()
    for step, weight in enumerate(seen):
        decay = min(0.5, (1 + step) / (10 + step))
        mean = decay * mean + (1 - decay) * weight
    torch.testing.assert_close(done.module.speed.weight.detach(), mean)


def test_bf16_trains_and_leaves_float32_weights() -> None:
    model, task = TINY_TASKS["image_classifier"]()
    done = run(model, [FineTune(task, 2, 0.02, Training(precision="bf16-mixed"))])
    assert {p.dtype for p in done.module.parameters()} == {torch.float32}
    assert loss_of(done, task) < loss_of(model, task)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_weights_come_back_in_their_own_type(regressor, dtype) -> None:
    model, task = regressor
    typed = Model(model.module.to(dtype), (model.example_inputs[0].to(dtype),))
    wide = torch.float64 if dtype == torch.float64 else torch.float32

    def split(batch) -> tuple:
        return batch[0].to(wide), tuple(label.to(wide) for label in batch[1])

    task = Task("typed", task.train, [], task.loss, task.metric, split=split)
    done = run(typed, [FineTune(task, 2, 0.05)])
    assert {p.dtype for p in done.module.parameters()} == {dtype}
    assert not torch.equal(done.module.speed.weight, typed.module.speed.weight)


def test_is_stored_as_before_and_unwrapped() -> None:
    model, task = TINY_TASKS["image_classifier"]()
    model.module.stem.to(memory_format=torch.channels_last)
    strides = {name: p.stride() for name, p in model.module.named_parameters()}
    done = run(model, [FineTune(task)])
    assert type(done.module) is type(model.module)
    assert {name: p.stride() for name, p in done.module.named_parameters()} == strides
    assert not done.module.training
    assert all(p.grad is None for p in done.module.parameters())
    assert not any(m._forward_hooks or m._backward_hooks for m in done.module.modules())


def test_parametrizations_survive_and_hold() -> None:
    class Masked(nn.Module):
        def forward(self, weight: torch.Tensor) -> torch.Tensor:
            return weight * (torch.arange(weight.numel()).view_as(weight) % 2)

    model, task = TINY_TASKS["two_output_regressor"]()
    parametrize.register_parametrization(model.module.speed, "weight", Masked())
    done = run(model, [FineTune(task, 2, 0.05)])
    assert parametrize.is_parametrized(done.module.speed)
    assert (done.module.speed.weight.flatten()[::2] == 0).all()
    assert not torch.equal(done.module.speed.weight, model.module.speed.weight)


def test_frozen_parameters_stay(regressor) -> None:
    model, task = regressor
    model.module.body.requires_grad_(False)
    done = run(model, [FineTune(task)])
    assert torch.equal(done.module.body[0].weight, model.module.body[0].weight)
    assert not torch.equal(done.module.speed.weight, model.module.speed.weight)


def test_random_numbers_go_on_as_if_nothing_had_happened(regressor) -> None:
    model, task = regressor
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    run(model, [FineTune(task, training=Training(seed=9))])
    assert torch.equal(torch.rand(3), expected)


def test_another_seed_shuffles_otherwise(regressor) -> None:
    model, task = regressor
    inputs, labels = task.train[0]
    data = list(zip(inputs, *labels, strict=True))
    loader = torch.utils.data.DataLoader(data, batch_size=8, shuffle=True)
    task = Task(
        "shuffled", loader, [], task.loss, task.metric, split=lambda b: (b[0], tuple(b[1:]))
    )
    runs = [run(model, [FineTune(task, training=Training(seed=seed))]) for seed in (0, 0, 1)]
    weights = [done.module.speed.weight for done in runs]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_a_loss_that_is_not_finite_is_named(regressor) -> None:
    model, task = regressor
    bad = [task.train[0], (task.train[1][0] * float("nan"), task.train[1][1])]
    task = Task("bad", bad, [], task.loss, task.metric)
    with pytest.raises(PassError, match=r"loss is nan at step 1 of 2 \(learning rate 0\.005\)"):
        run(model, [FineTune(task, 1, 0.01)])


def test_a_loader_without_batches_is_named(regressor) -> None:
    model, task = regressor
    for train in ([], iter(task.train)):
        task = Task("used up", train, [], task.loss, task.metric)
        with pytest.raises(TaskError, match="train loader of task 'used up' yields no batch"):
            run(model, [FineTune(task)])


def test_nothing_to_train_is_said(regressor) -> None:
    model, task = regressor
    model.module.requires_grad_(False)
    with pytest.raises(PassError, match="no parameter requires a gradient"):
        run(model, [FineTune(task)])


def test_a_loss_with_axes_is_refused(regressor) -> None:
    model, task = regressor
    task = Task("axes", task.train, [], lambda y, _: y[0].square(), task.metric)
    with pytest.raises(TaskError, match=r"without axes, got one of shape \[32, 2\]"):
        run(model, [FineTune(task)])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "epochs must be 1 or more, got 0"),
        ({"learning_rate": 0.0}, "learning_rate must be more than 0, got 0"),
        ({"time_limit_s": -1.0}, "time_limit_s must be more than 0, got -1"),
    ],
)
def test_refuses_settings_out_of_range(regressor, settings, message) -> None:
    with pytest.raises(ValueError, match=message):
        FineTune(regressor[1], **settings)


def test_training_refuses_settings_out_of_range() -> None:
    for settings in ({"clip_norm": 0.0}, {"label_smoothing": 1.0}, {"ema_decay": 1.0}):
        (name, value), *_ = settings.items()
        with pytest.raises(ValueError, match=f"{name} must be .* got {value}"):
            Training(**settings)


def test_adam_trains() -> None:
    model, task = TINY_TASKS["two_input_transformer"]()
    done = run(model, [FineTune(task, 3, 0.01, Training(AdamW()))])
    assert loss_of(done, task) < loss_of(model, task)


def test_smoothed_labels_train() -> None:
    model, task = TINY_TASKS["image_classifier"]()
    done = run(model, [FineTune(task, 2, 0.02, Training(label_smoothing=0.1))])
    assert loss_of(done, task) < loss_of(model, task)
    assert isinstance(task.metric, Accuracy)
