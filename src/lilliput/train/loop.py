"""The training loop of every pass that learns, on Lightning Fabric."""

import logging
from collections.abc import Iterator
from typing import Any

from lightning_fabric import Fabric
from torch import Tensor, nn

from lilliput.core import PassError, TaskError
from lilliput.core.hooks import StatefulHook
from lilliput.core.progress import track
from lilliput.train.average import Average
from lilliput.train.data import Batch, TrainingData
from lilliput.train.devices import start
from lilliput.train.interrupt import Interrupt, deferred
from lilliput.train.job import Job
from lilliput.train.place import lent, random_states, seed_all, seeded, set_random_states
from lilliput.train.watch import Watch

__all__ = ["train"]

_log = logging.getLogger(__name__)
_MEASURED_STEPS = 10  # from which on the time for all of them is told, once


def train(job: Job) -> None:
    """Trains `job.module` in place, and leaves it in eval mode, stored as it was before.

    Raises:
        PassError: The loss is no longer finite, or nothing can be trained.
        TaskError: The data and the loss do not fit the outputs.
        KeyboardInterrupt: Ctrl-C; a checkpoint was saved first.
    """
    fabric = start(job.training, job.learner)
    with seeded(), lent(job.learner, job.training.channels_last), deferred() as interrupt:
        _Loop(job, fabric, interrupt).run()


class _Loop:
    """One training while it runs."""

    def __init__(self, job: Job, fabric: Fabric, interrupt: Interrupt) -> None:
        self.job, self.fabric, self.interrupt = job, fabric, interrupt
        self.optimizer = job.training.optimizer.build(_trained(job.learner), job.learning_rate)
        self.learner, self.stepper = fabric.setup(job.learner, self.optimizer)
        decay = job.training.ema_decay
        self.average = None if decay is None else Average(job.module, decay)
        self.data = TrainingData(job, fabric)
        self.watch = Watch(fabric)
        self.epoch = self.batch = self.step = self.per_epoch = 0
        self.is_finished = self.is_forecast = False
        self.hook_states: list[dict[str, Any] | None] = []

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
        for batch in track(batches, self.job.verb, float(self.steps), self.step, self._note):
            self._step(batch)
        self.watch.check_losses(self.step, self.steps, self._rate())
        if self.average:
            self.average.copy_to(self.job.module)
        self.is_finished = True
        self._save()

    def _batches(self, states: dict[str, Any] | None) -> Iterator[Batch]:
        """All batches that are left, and what happens between them.

        Seeding every epoch makes the batches that were trained on before a resume come again, to
        be passed over; `states` then undoes what drawing them did to the random numbers.
        """
        while self.epoch < self.job.epochs:
            seed_all(self.job.training.seed + 1_000_003 * self.epoch)
            for hook in self.job.hooks:
                hook.on_epoch(self.job.module, self.epoch, self.job.epochs)
            self._give_hooks_back()
            skipped = self.batch
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
            if self.watch.may_save():
                self._save()

    def _give_hooks_back(self) -> None:
        """What they knew when the checkpoint was written, once."""
        for hook, state in zip(self.job.hooks, self.hook_states, strict=False):
            if isinstance(hook, StatefulHook) and state is not None:
                hook.load_state_dict(state)
        self.hook_states = []

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
        if is_pressed or self.watch.must_save:
            self._save()
        if is_pressed:
            raise KeyboardInterrupt
        limit = self.job.time_limit_s
        if limit is None:
            return False
        if self.step >= _MEASURED_STEPS and not self.is_forecast:
            self.is_forecast = True
            needed = self.watch.seconds / self.step * self.steps
            _log.info("%s needs about %.0f s, its limit is %.0f s", self.job.verb, needed, limit)
        is_over = self.watch.seconds >= limit and self.step < self.steps
        if is_over:
            _log.warning(
                "%s stopped at its limit of %g s, in epoch %d of %d",
                *(self.job.verb, limit, self.epoch + 1, self.job.epochs),
            )
        return is_over

    def _note(self) -> str:
        """For example `distil epoch 3/20 loss 0.41`."""
        place = f"{self.job.verb} epoch {self.epoch + 1}/{self.job.epochs}"
        shown = self.watch.shown
        return place if shown is None else f"{place} loss {shown:.3g}"

    def _save(self) -> None:
        """Keeps all that resuming needs, and of a finished training only the weights."""
        self.watch.check_losses(self.step, self.steps, self._rate())
        if self.job.checkpoint is None:
            return
        with self.watch.saving():
            if self.fabric.is_global_zero:
                self.job.checkpoint.save(self._state())

    def _state(self) -> dict[str, Any]:
        state: dict[str, Any] = {
            "is_finished": self.is_finished,
            "learner": self.job.learner.state_dict(),
        }
        if not self.is_finished:
            state |= {
                "epoch": self.epoch,
                "batch": self.batch,
                "step": self.step,
                "seconds": self.watch.seconds,
                "optimizer": self.optimizer.state_dict(),
                "average": self.average.values if self.average else None,
                "random": random_states(),
                "hooks": [
                    hook.state_dict() if isinstance(hook, StatefulHook) else None
                    for hook in self.job.hooks
                ],
            }
        return state

    def _resume(self) -> dict[str, Any] | None:
        """Goes on where a checkpoint left off; gives its random states.

        Process 0 reads it for all, as it wrote it: on another machine there may be none.
        """
        if self.job.checkpoint is None:
            return None
        is_reader = self.fabric.is_global_zero
        state = self.fabric.broadcast(self.job.checkpoint.load() if is_reader else None)
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
        self.hook_states = state.get("hooks", [])
        random: dict[str, Any] = state["random"]
        return random


def _trained(learner: nn.Module) -> list[nn.Parameter]:
    trained = [p for p in learner.parameters() if p.requires_grad]
    if not trained:
        raise PassError("no parameter requires a gradient; set requires_grad_(True) on some")
    return trained


def _described(value: Any) -> str:
    return f"one of shape {list(value.shape)}" if isinstance(value, Tensor) else repr(value)[:80]
