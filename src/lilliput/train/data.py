"""Which batches a process trains on, and what share of the gradient is its own."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.utils._pytree import tree_map
from torch.utils.data import DataLoader

from lilliput.core.data import length_of
from lilliput.train.job import Job

__all__ = ["Batch", "TrainingData"]

Batch = tuple[tuple[Tensor, ...], Any, float]


class TrainingData:
    """The task's training batches, on the device.

    With several processes a torch `DataLoader` gets a distributed sampler, so that each process
    draws batches of its own. Of any other iterable every process sees the same batches (all are
    seeded alike) and takes its slice of each.

    Args:
        job: Whose task it is, how its pictures are stored and what they are mixed with.
        fabric: Knows the device and the processes.
    """

    def __init__(self, job: Job, fabric: Fabric) -> None:
        self.fabric, self.mixing = fabric, job.mixing
        self.channels_last = job.training.channels_last
        self.has_sampler = False
        task = job.task
        if fabric.world_size > 1 and isinstance(task.train, DataLoader):
            loader = fabric.setup_dataloaders(task.train, move_to_device=False)
            task = replace(task, train=loader)
            self.has_sampler = True
        self.task = task

    def count(self) -> int:
        """Batches in an epoch; goes through them once where the loader has no length."""
        length = length_of(self.task.train)
        return sum(1 for _ in self.task.batches("train")) if length is None else max(1, length)

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """Gives `(inputs, labels, weight)`; the loss is to be multiplied with the weight."""
        if self.has_sampler:
            self.task.train._num_iter_calls = epoch  # type: ignore[attr-defined]  # noqa: SLF001
        is_shared = self.fabric.world_size > 1 and not self.has_sampler
        for batch in self.task.batches("train"):
            inputs, labels, weight = self._slice(*batch) if is_shared else (*batch, 1.0)
            inputs, labels = self.fabric.to_device((inputs, labels))
            if self.mixing is not None:
                inputs = self.mixing(inputs)
            yield tuple(self._stored(x) for x in inputs), labels, weight

    def _slice(self, inputs: tuple[Tensor, ...], labels: Any) -> Batch:
        """This process's examples; weighted, so that the mean over processes is the batch's mean.

        A process for which none are left takes the first one with weight 0, to stay in step.
        """
        size, processes = len(inputs[0]), self.fabric.world_size
        mine = torch.arange(size).tensor_split(processes)[self.fabric.global_rank]
        weight = len(mine) * processes / size
        start, stop = (int(mine[0]), int(mine[-1]) + 1) if len(mine) else (0, 1)

        def cut(leaf: Any) -> Any:
            has_batch = isinstance(leaf, Tensor) and leaf.ndim and len(leaf) == size
            return leaf[start:stop] if has_batch else leaf

        return tree_map(cut, inputs), tree_map(cut, labels), weight

    def _stored(self, x: Tensor) -> Tensor:
        if self.channels_last and x.ndim == 4:
            return x.contiguous(memory_format=torch.channels_last)
        return x
