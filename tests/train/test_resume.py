import subprocess
import sys
import textwrap

import pytest
import torch
from tests.train.recorder import Recorder
from torch import nn

from lilliput.core import Model, PassError, Task, run
from lilliput.testing import TINY_TASKS
from lilliput.train import SGD, AdamW, FineTune, OneCycle, Optimizer, Training


class Noisy:
    """Shuffled batches with noise from every generator there is."""

    def __init__(self, task: Task) -> None:
        self.batches = task.train

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self):
        import random

        import numpy as np

        for index in torch.randperm(len(self.batches)).tolist():
            x, y = self.batches[index]
            shift = random.random() + np.random.rand()  # noqa: NPY002
            yield x + 0.1 * torch.randn_like(x) + shift, y


@pytest.fixture
def noisy() -> tuple[Model, Task]:
    model, task = TINY_TASKS["image_classifier"]()
    model.module.head = nn.Sequential(nn.Dropout(0.5), model.module.head)
    return model, Task("noisy", Noisy(task), [], task.loss, task.metric, fingerprint="noisy")


def fine_tune(task: Task, optimizer: Optimizer, hook: Recorder, folder=None) -> FineTune:
    training = Training(optimizer, OneCycle(), clip_norm=1.0, ema_decay=0.9)
    return FineTune(task, 4, 0.01, training, hooks=(hook,), checkpoint=folder)


def same_weights(a: Model, b: Model) -> bool:
    ours, theirs = a.module.state_dict(), b.module.state_dict()
    return all(torch.equal(value, theirs[name]) for name, value in ours.items())


@pytest.mark.parametrize("optimizer", [SGD(), AdamW()])
@pytest.mark.parametrize("is_mid_epoch", [False, True])
def test_goes_on_to_the_same_weights(
    noisy, tmp_path, monkeypatch, optimizer: Optimizer, is_mid_epoch: bool
) -> None:
    model, task = noisy
    if is_mid_epoch:
        monkeypatch.setattr("lilliput.train.watch._SAVE_EVERY_S", 0.0)
    expected = run(model, [fine_tune(task, optimizer, Recorder())])
    with pytest.raises(PassError, match="died"):
        run(model, [fine_tune(task, optimizer, Recorder(16), tmp_path)])
    hook = Recorder()
    done = run(model, [fine_tune(task, optimizer, hook, tmp_path)])
    assert hook.steps[0] == 16 if is_mid_epoch else hook.steps[0] in (6, 12)
    assert hook.steps[-1] == 23
    assert same_weights(done, expected)


def test_a_finished_training_is_not_repeated(noisy, tmp_path) -> None:
    model, task = noisy
    done = run(model, [fine_tune(task, SGD(), Recorder(), tmp_path)])
    hook = Recorder()
    again = run(model, [fine_tune(task, SGD(), hook, tmp_path)])
    assert not hook.steps
    assert same_weights(again, done)


def test_other_settings_or_weights_start_over(noisy, tmp_path) -> None:
    model, task = noisy
    done = run(model, [fine_tune(task, SGD(), Recorder(), tmp_path)])
    for start, optimizer in ((model, AdamW()), (done, AdamW())):
        hook = Recorder()
        run(start, [fine_tune(task, optimizer, hook, tmp_path)])
        assert len(hook.steps) == 24


SCRIPT = """
import os, signal, sys
from pathlib import Path
from lilliput.core import run
from lilliput.testing import TINY_TASKS
from lilliput.train import FineTune

class Kills:
    def on_step(self, module, step, steps, /):
        if step == 15:
            os.kill(os.getpid(), signal.SIGKILL)
    def on_epoch(self, module, epoch, epochs, /): ...
    def penalty(self, module, /): ...

Kills.__name__ = "Recorder"
model, task = TINY_TASKS["image_classifier"]()
run(model, [FineTune(task, 4, 0.01, hooks=(Kills(),), checkpoint=Path(sys.argv[1]))])
"""


def test_goes_on_after_sigkill(tmp_path) -> None:
    arguments = [sys.executable, "-c", textwrap.dedent(SCRIPT), str(tmp_path)]
    killed = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert killed.returncode == -9, killed.stderr
    model, task = TINY_TASKS["image_classifier"]()
    hook = Recorder()
    done = run(model, [FineTune(task, 4, 0.01, hooks=(hook,), checkpoint=tmp_path)])
    assert hook.steps[0] in (6, 12)
    expected = run(model, [FineTune(task, 4, 0.01)])
    assert same_weights(done, expected)
