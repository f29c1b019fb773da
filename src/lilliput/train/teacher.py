"""A teacher that answers batches, and remembers what it answered."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from lilliput.core.digest import digest_of
from lilliput.train.hints import features_of
from lilliput.train.precision import autocast
from lilliput.train.training import Training

__all__ = ["Answer", "Teacher"]

Answer = tuple[Any, tuple[Tensor, ...]]


class Teacher:
    """A frozen copy of a network, in eval mode, on the device of its inputs.

    Answers are kept by the content of the batch, so they are right in any order of batches. Where
    data are augmented or mixed anew no batch comes twice: after an epoch's worth of batches
    without one it gives up remembering.

    Args:
        module: The network.
        layers: Whose outputs are given, too.
        training: The student's: the teacher runs in the same precision and memory format.
        cache_bytes: Most that is kept of its answers; 0 keeps none.
        patience: How many batches in a row may be new before it gives up.
    """

    def __init__(
        self,
        module: nn.Module,
        layers: Sequence[str],
        training: Training,
        *,
        cache_bytes: int,
        patience: int,
    ) -> None:
        self.module = copy.deepcopy(module).eval().requires_grad_(False)
        if training.channels_last:
            self.module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.layers, self.precision = tuple(layers), training.precision
        self.room_bytes, self.patience = cache_bytes, patience
        self.device: torch.device | None = None
        self.answers: dict[str, Answer] = {}
        self.new_in_a_row = 0

    def __call__(self, inputs: tuple[Tensor, ...]) -> Answer:
        """Outputs and features for a batch."""
        if self.room_bytes <= 0 and not self.answers:
            return self._answer(inputs)
        key = digest_of(inputs)
        if key in self.answers:
            self.new_in_a_row = 0
            return self.answers[key]
        answer = self._answer(inputs)
        self.new_in_a_row += 1
        if self.new_in_a_row > self.patience:
            self.answers.clear()
            self.room_bytes = 0
        else:
            self._keep(key, answer)
        return answer

    def _keep(self, key: str, answer: Answer) -> None:
        tensors = [leaf for leaf in tree_leaves(answer) if isinstance(leaf, Tensor)]
        size = sum(t.numel() * t.element_size() for t in tensors)
        if size <= self.room_bytes:
            self.room_bytes -= size
            self.answers[key] = answer

    @torch.no_grad()
    def _answer(self, inputs: tuple[Tensor, ...]) -> Answer:
        device = inputs[0].device
        if self.device != device:
            self.module.to(device)
            self.device = device
        with autocast(self.precision, device.type):
            outputs, features = features_of(self.module, self.layers, inputs)
        return tree_map(_float, outputs), features


def _float(leaf: Any) -> Any:
    return leaf.float() if isinstance(leaf, Tensor) and leaf.is_floating_point() else leaf
