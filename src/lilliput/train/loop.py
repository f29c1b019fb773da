"""The training loop of every pass that learns, on Lightning Fabric."""

import logging
import os
import time
from collections.abc import Iterator
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision, Precision
from lightning_fabric.plugins.environments import TorchElasticEnvironment
from lightning_fabric.strategies import DDPStrategy
from torch import Tensor, nn

from lilliput.core import PassError, TaskError
from lilliput.core.progress import track
from lilliput.train.average import Average
from lilliput.train.data import Batch, TrainingData
from lilliput.train.interrupt import Interrupt, deferred
from lilliput.train.job import Job
from lilliput.train.place import lent, random_states, seed_all, seeded, set_random_states
from lilliput.train.precision import resolve
from lilliput.train.training import Training

__all__ = ["train"]

_log = logging.getLogger(__name__)
_SAVE_EVERY_S = 60.0
_WINDOW = 20  # steps between looks at the loss where looking makes the processor wait


def train(job: Job) -> None:
    """Trains `job.module` in place, and leaves it in eval mode, stored as it was before.

    Raises:
        PassError: The loss is no longer finite, or nothing can be trained.
        TaskError: The data and the loss do not fit the outputs.
        KeyboardInterrupt: Ctrl-C; a checkpoint was saved first.
    """
    fabric = _fabric(job.training)
    fabric.launch()
    with seeded(), lent(job.learner, job.training.channels_last), deferred() as interrupt:
        _Loop(job, fabric, interrupt).run()


def _fabric(training: Training) -> Fabric:
    """One device; under `torchrun` one for each process."""
    kind = Fabric(accelerator=training.accelerator, devices=1).device.type
    is_mixed = resolve(training.precision, kind) == "bf16-mixed"
    precision = MixedPrecision("bf16-mixed", kind) if is_mixed else Precision()
    if not TorchElasticEnvironment.detect():
        return Fabric(accelerator=training.accelerator, devices=1, plugins=precision)
    local = int(os.environ["LOCAL_WORLD_SIZE"])
    return Fabric(
        accelerator=training.accelerator,
        devices=local,
        num_nodes=int(os.environ["WORLD_SIZE"]) // local,
        plugins=precision,
        strategy=DDPStrategy(find_unused_parameters=True),
    )


class _Loop:
    """One training while it runs."""

    def __init__(self, job: Job, fabric: Fabric, interrupt: Interrupt) -> None:
        self.job, self.fabric, self.interrupt = job, fabric, interrupt
        self.optimizer = job.training.optimizer.build(_trained(job.learner), job.learning_rate)
        self.learner, self.stepper = fabric.setup(job.learner, self.optimizer)
        decay = job.training.ema_decay
        self.average = None if decay is None else Average(job.module, decay)
        self.data = TrainingData(job.task, fabric, job.training.channels_last)
        self.watch = _Watch(fabric)
        self.epoch = self.batch = self.step = self.per_epoch = 0
        self.is_finished = False

    @property
    def steps(self) -> int:
        return self.per_epoch * self.job.epochs

    def run(self) -> None:
        states = self._resume()
        if self.is_finished:
            return
        self.per_epoch = self.data.count()
        self.watch.start()
        batches = self._batches(states)
        for batch in track(batches, self.job.verb, self.steps, self.step, self._note):
            self._step(batch)
        self.watch.check_losses(self.step, self.steps, self._rate())
        if self.average:
            self.average.copy_to(self.job.module)
        self.is_finished = True
        self._save()

    def _batches(self, states: dict[str, Any] | None) -> Iterator[Batch]:
        """All batches that are left, and what happens between them."""
        while self.epoch < self.job.epochs:
            seed_all(self.job.training.seed + 1_000_003 * self.epoch)
            skipped = self.batch
            if not skipped:
                for hook in self.job.hooks:
                    hook.on_epoch(self.job.module, self.epoch, self.job.epochs)
            for index, batch in enumerate(self.data.epoch(self.epoch), 1):
                if index < skipped:
                    continue
                if index == skipped:
                    set_random_states(states or {})
                    continue
                yield batch
                self.batch = index
                if self._is_over():
                    return
            self.epoch, self.batch = self.epoch + 1, 0
            self._save()

    def _step(self, batch: Batch) -> None:
        inputs, labels, weight = batch
        rate = self._set_rate()
        loss = self._loss(self.learner(*inputs), inputs, labels)
        self.watch.add(loss)
        if self.watch.is_due(self.step):
            self.watch.check_losses(self.step + 1, self.steps, rate)
        self.fabric.backward(loss * weight if weight != 1 else loss)
        longest = self.job.training.clip_norm
        if longest is not None:
            self.fabric.clip_gradients(self.learner, self.stepper, max_norm=longest)
        self.stepper.step()
        self.optimizer.zero_grad(set_to_none=True)
        for hook in self.job.hooks:
            hook.on_step(self.job.module, self.step, self.steps)
        if self.average:
            self.average.update(self.job.module, self.step)
        self.step += 1

    def _loss(self, outputs: Any, inputs: tuple[Tensor, ...], labels: Any) -> Tensor:
        loss = self.job.loss(outputs, inputs, labels)
        if not isinstance(loss, Tensor) or loss.ndim:
            raise TaskError(f"the loss must be a tensor without axes, got {_described(loss)}")
        for hook in self.job.hooks:
            penalty = hook.penalty(self.job.module)
            if penalty is not None:
                loss = loss + penalty
        if not loss.requires_grad:
            raise PassError("the loss does not depend on any parameter that requires a gradient")
        return loss

    def _rate(self) -> float:
        """The learning rate now: by steps, or by time where the time limit comes first."""
        share = min(1.0, self.step / self.steps)
        if self.job.time_limit_s is not None:
            share = max(share, min(1.0, self.watch.seconds / self.job.time_limit_s))
        return self.job.learning_rate * self.job.training.schedule.factor(share)

    def _set_rate(self) -> float:
        rate = self._rate()
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        return rate

    def _is_over(self) -> bool:
        """Looks at the clock, at Ctrl-C, and whether it is time to save."""
        if not self.watch.is_due(self.step):
            return False
        is_pressed = self.watch.look(self.interrupt.is_pressed)
        if is_pressed or self.watch.since_save > _SAVE_EVERY_S:
            self._save()
        if is_pressed:
            raise KeyboardInterrupt
        limit = self.job.time_limit_s
        if limit is None or self.watch.seconds < limit:
            return False
        if self.step < self.steps:
            _log.warning(
                "%s stopped at its limit of %g s, in epoch %d of %d",
                *(self.job.verb, limit, self.epoch + 1, self.job.epochs),
            )
        return True

    def _note(self) -> str:
        """For example `distil epoch 3/20 loss 0.41`."""
        place = f"{self.job.verb} epoch {self.epoch + 1}/{self.job.epochs}"
        return f"{place} loss {self.watch.shown:.3g}" if self.step else place

    def _save(self) -> None:
        self.watch.check_losses(self.step, self.steps, self._rate())
        self.watch.mark_save()
        if self.job.checkpoint is None or not self.fabric.is_global_zero:
            return
        keeps_going = not self.is_finished
        self.job.checkpoint.save(
            {
                "epoch": self.epoch,
                "batch": self.batch,
                "step": self.step,
                "seconds": self.watch.seconds,
                "is_finished": self.is_finished,
                "learner": self.job.learner.state_dict(),
                "optimizer": self.optimizer.state_dict() if keeps_going else None,
                "average": self.average.values if self.average and keeps_going else None,
                "random": random_states() if keeps_going else None,
            }
        )

    def _resume(self) -> dict[str, Any] | None:
        """Goes on where a checkpoint left off; gives its random states."""
        state = self.job.checkpoint.load() if self.job.checkpoint else None
        if state is None:
            return None
        self.job.learner.load_state_dict(state["learner"])
        self.is_finished = state["is_finished"]
        if self.is_finished:
            return None
        self.epoch, self.batch, self.step = state["epoch"], state["batch"], state["step"]
        self.watch.seconds = state["seconds"]
        self.optimizer.load_state_dict(state["optimizer"])
        if self.average:
            self.average.values = self.fabric.to_device(state["average"])
        random: dict[str, Any] = state["random"]
        return random


class _Watch:
    """Keeps an eye on the clock and the loss, without making the device wait at every step."""

    def __init__(self, fabric: Fabric) -> None:
        self.fabric = fabric
        is_cheap = fabric.device.type == "cpu" and fabric.world_size == 1
        self.window = 1 if is_cheap else _WINDOW
        self.seconds = self.shown = 0.0
        self.losses: list[Tensor] = []

    def start(self) -> None:
        self.began = time.monotonic() - self.seconds
        self.mark_save()

    def mark_save(self) -> None:
        self.saved = time.monotonic()

    @property
    def since_save(self) -> float:
        return time.monotonic() - self.saved

    def is_due(self, step: int) -> bool:
        return step % self.window == 0

    def look(self, is_pressed: bool) -> bool:
        """Agrees with the other processes on the time, and whether anyone saw Ctrl-C."""
        self.seconds = time.monotonic() - self.began
        if self.fabric.world_size == 1:
            return is_pressed
        mine = torch.tensor([self.seconds, float(is_pressed)], dtype=torch.float64)
        seconds, pressed = self.fabric.all_reduce(mine, reduce_op="max").tolist()
        self.seconds = seconds
        return bool(pressed)

    def add(self, loss: Tensor) -> None:
        self.losses.append(loss.detach())

    def check_losses(self, step: int, steps: int, rate: float) -> None:
        """Refuses losses that are not finite; `step` counts those taken so far."""
        if not self.losses:
            return
        values = torch.stack([loss.float() for loss in self.losses]).tolist()
        first = step - len(values)
        self.losses.clear()
        for index, value in enumerate(values, first):
            if value - value != 0:
                raise PassError(
                    f"the loss is {value} at step {index} of {steps} (learning rate {rate:.3g}); "
                    "try a lower learning_rate, Training(clip_norm=1) or "
                    "Training(precision='32-true'), and look for NaN in the inputs"
                )
            self.shown = value if index == 0 else 0.95 * self.shown + 0.05 * value


def _trained(learner: nn.Module) -> list[nn.Parameter]:
    trained = [p for p in learner.parameters() if p.requires_grad]
    if not trained:
        raise PassError("no parameter requires a gradient; set requires_grad_(True) on some")
    return trained


def _described(value: Any) -> str:
    return f"one of shape {list(value.shape)}" if isinstance(value, Tensor) else repr(value)[:80]
