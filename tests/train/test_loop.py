import logging
import os
import signal
import time

import pytest
import torch
from torch import Tensor, nn

from lilliput.core import Model, Task, TrainingHook, progress, run
from lilliput.testing import TINY_TASKS
from lilliput.train import Cosine, FineTune, Training
from lilliput.train.watch import Watch


class Recorder:
    """Notes every call; the penalty pulls all weights of a layer to zero."""

    def __init__(self, strength: float = 0.0) -> None:
        self.strength = strength
        self.steps: list[tuple[int, int]] = []
        self.epochs: list[tuple[int, int]] = []
        self.order: list[str] = []

    def on_step(self, module: nn.Module, step: int, steps: int, /) -> None:
        assert module.training
        self.steps.append((step, steps))
        self.order.append("step")

    def on_epoch(self, module: nn.Module, epoch: int, epochs: int, /) -> None:
        assert module.training
        self.epochs.append((epoch, epochs))
        self.order.append("epoch")

    def penalty(self, module: nn.Module, /) -> Tensor | None:
        self.order.append("penalty")
        return self.strength * module.body[0].weight.square().sum() if self.strength else None


@pytest.fixture
def regressor() -> tuple[Model, Task]:
    return TINY_TASKS["two_output_regressor"]()


def test_hooks_are_called_as_documented(regressor) -> None:
    model, task = regressor
    hook = Recorder()
    assert isinstance(hook, TrainingHook)
    run(model, [FineTune(task, epochs=2, hooks=(hook,))])
    assert hook.steps == [(step, 12) for step in range(12)]
    assert hook.epochs == [(0, 2), (1, 2)]
    assert hook.order == (["epoch"] + ["penalty", "step"] * 6) * 2


def test_a_penalty_is_part_of_the_loss(regressor) -> None:
    model, task = regressor
    runs = [run(model, [FineTune(task, hooks=(Recorder(s),))]) for s in (0.0, 10.0)]
    free, pulled = (done.module.body[0].weight.norm() for done in runs)
    assert pulled < 0.5 * free


def test_a_loader_without_length_is_counted(regressor) -> None:
    model, task = regressor

    class Stream:
        def __iter__(self):
            return iter(task.train)

    hook = Recorder()
    streamed = Task("stream", Stream(), [], task.loss, task.metric)
    done = run(model, [FineTune(streamed, 2, hooks=(hook,))])
    assert hook.steps[-1] == (11, 12)
    expected = run(model, [FineTune(task, 2)])
    assert torch.equal(done.module.speed.weight, expected.module.speed.weight)


class Slow:
    """Batches that take a hundredth of a second each."""

    def __init__(self, batches: list) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self):
        for batch in self.batches:
            time.sleep(0.01)
            yield batch


def test_a_time_limit_ends_it_with_the_schedule_run_through(regressor, caplog) -> None:
    model, task = regressor
    factors: list[float] = []

    class Watched(Cosine):
        def factor(self, progress: float, /) -> float:
            factors.append(super().factor(progress))
            return factors[-1]

    slow = Task("slow", Slow(task.train), [], task.loss, task.metric)
    began = time.monotonic()
    with caplog.at_level(logging.INFO):
        run(model, [FineTune(slow, 1000, training=Training(schedule=Watched()), time_limit_s=1.5)])
    assert time.monotonic() - began < 20
    assert factors[0] == 1
    assert factors[-1] < 0.1
    assert "fine-tune stopped at its limit of 1.5 s, in epoch" in caplog.text
    assert "its limit is" in caplog.text


@pytest.mark.parametrize("window", [1, 3, 20])
def test_the_time_needed_is_told_once_however_seldom_is_looked(
    regressor, caplog, monkeypatch, window: int
) -> None:
    """A look makes other devices wait, so there it is taken every 20 steps."""
    model, task = regressor
    monkeypatch.setattr(Watch, "is_due", lambda _, step: step % window == 0)
    with caplog.at_level(logging.INFO):
        run(model, [FineTune(task, 8, time_limit_s=1000.0)])
    assert caplog.text.count("fine-tune needs about") == 1


def test_a_time_limit_that_is_not_reached_changes_nothing(regressor) -> None:
    model, task = regressor
    runs = [run(model, [FineTune(task, 2, time_limit_s=limit)]) for limit in (None, 1000.0)]
    first, second = (done.module.speed.weight for done in runs)
    assert torch.equal(first, second)


class Reporter:
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.started: list[tuple[str, float | None]] = []

    def start(self, description: str, total: float | None, /) -> int:
        self.started.append((description, total))
        return 0

    def update(self, task: int, done: float, note: str, /) -> None:
        self.notes.append(note)

    def stop(self, task: int, /) -> None: ...


def test_progress_tells_epoch_and_loss(regressor) -> None:
    model, task = regressor
    reporter = Reporter()
    token = progress._active.set(reporter)
    try:
        run(model, [FineTune(task, 2)])
    finally:
        progress._active.reset(token)
    assert reporter.started == [("fine-tune", 12)]
    assert reporter.notes[0] == "fine-tune epoch 1/2"
    assert reporter.notes[-1].startswith("fine-tune epoch 2/2 loss ")


def test_a_resumed_training_shows_its_loss_from_the_start(regressor, tmp_path) -> None:
    model, task = regressor

    def loss(outputs: tuple[Tensor, ...], _labels: object) -> Tensor:
        return 0 * outputs[0].sum() + 8

    one = Task("one", task.train[:1], [], loss, task.metric)
    presses = PressesCtrlC(at=2)
    with pytest.raises(KeyboardInterrupt):
        run(model, [FineTune(one, 9, hooks=(presses,), checkpoint=tmp_path)])
    reporter = Reporter()
    token = progress._active.set(reporter)
    try:
        run(model, [FineTune(one, 9, hooks=(PressesCtrlC(at=99),), checkpoint=tmp_path)])
    finally:
        progress._active.reset(token)
    assert {note.partition(" loss ")[2] for note in reporter.notes} == {"", "8"}


class PressesCtrlC(Recorder):
    """Presses Ctrl-C in the middle of a step, once or twice."""

    def __init__(self, at: int, times: int = 1) -> None:
        super().__init__()
        self.at, self.times = at, times

    def on_step(self, module: nn.Module, step: int, steps: int, /) -> None:
        super().on_step(module, step, steps)
        if step == self.at:
            for _ in range(self.times):
                os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_saves_first_and_goes_on_from_there(regressor, tmp_path) -> None:
    model, task = regressor
    presses = PressesCtrlC(at=8)
    with pytest.raises(KeyboardInterrupt):
        run(model, [FineTune(task, 3, hooks=(presses,), checkpoint=tmp_path)])
    assert presses.steps[-1] == (8, 18)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    goes_on = PressesCtrlC(at=99)
    done = run(model, [FineTune(task, 3, hooks=(goes_on,), checkpoint=tmp_path)])
    assert goes_on.steps[0] == (9, 18)
    assert goes_on.epochs == [(1, 3), (2, 3)]
    expected = run(model, [FineTune(task, 3, hooks=(Recorder(),))])
    assert torch.equal(done.module.speed.weight, expected.module.speed.weight)


def test_ctrl_c_twice_stops_at_once(regressor, tmp_path) -> None:
    model, task = regressor
    presses = PressesCtrlC(at=2, times=2)
    with pytest.raises(KeyboardInterrupt):
        run(model, [FineTune(task, 3, hooks=(presses,), checkpoint=tmp_path)])
    assert not (tmp_path / "checkpoint.json").exists()


def test_a_failed_training_leaves_the_network_in_eval_mode(regressor) -> None:
    model, task = regressor

    class Fails(Recorder):
        def on_step(self, module: nn.Module, step: int, steps: int, /) -> None:
            raise RuntimeError("boom")

    copy = model.clone()
    with pytest.raises(RuntimeError, match="boom"):
        FineTune(task, hooks=(Fails(),))(copy)
    assert not copy.module.training
