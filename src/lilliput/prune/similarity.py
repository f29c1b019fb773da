"""Which blocks change least: what comes out of them is nearly what went in."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from lilliput.core import Model, PassError, Stage, Task
from lilliput.core.modes import in_eval_mode
from lilliput.prune.blocks import RemoveBlocks, removable_blocks

__all__ = ["RemoveSimilarBlocks", "block_similarity"]


def block_similarity(model: Model, task: Task, samples: int = 256) -> dict[str, float]:
    """The mean cosine between each removable block's input and output, in running order.

    The vectors compared are the features of a token or the channels of a pixel. One minus this is
    the block's influence.

    Source: Men et al. 2024, "ShortGPT: Layers in Large Language Models are More Redundant Than You
    Expect", eq. 1.

    Args:
        model: It is not changed.
        task: Its training inputs are used.
        samples: Examples to look at.

    Returns:
        For each of `removable_blocks`, -1 to 1.
    """
    blocks = {name: model.module.get_submodule(name) for name in removable_blocks(model)}
    sums = {name: _Mean() for name in blocks}
    with in_eval_mode(model.module), torch.no_grad(), _watched(blocks, sums):
        for inputs in task.calibration(samples):
            model.module(*inputs)
    return {name: mean.value for name, mean in sums.items()}


@dataclass(frozen=True)
class RemoveSimilarBlocks:
    """Removes the blocks whose output is most like their input, one after another.

    After each, the similarities are measured again, since what the later blocks read has changed.

    Source: Men et al. 2024, "ShortGPT", section 3.2, who measure once.

    Args:
        task: Its training inputs are used.
        count: How many blocks go.
        samples: Examples to look at.

    Raises:
        ValueError: `count` is below 1.
    """

    task: Task
    count: int = 1
    samples: int = 256
    stage: ClassVar[Stage] = "prune"

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"count must be 1 or more, got {self.count}")

    def __call__(self, model: Model, /) -> Model:
        """Gives the shallower model.

        Raises:
            PassError: There are not as many blocks that could go.
        """
        known = removable_blocks(model)
        if not known:
            raise PassError("no block of this network can go: none keeps its input's shape")
        if len(known) < self.count:
            raise PassError(
                f"count must be at most {len(known)}, the number of blocks that keep their "
                f"input's shape, got {self.count}; removable_blocks(model) lists them"
            )
        for _ in range(self.count):
            similarity = block_similarity(model, self.task, self.samples)
            most = max(similarity, key=lambda name: similarity[name])
            model = RemoveBlocks((most,))(model)
        return model


class _Mean:
    """A mean of cosines while batches run."""

    def __init__(self) -> None:
        self.total, self.count = 0.0, 0

    def add(self, cosines: Float[Tensor, " positions"]) -> None:
        self.total += float(cosines.sum())
        self.count += len(cosines)

    @property
    def value(self) -> float:
        return self.total / max(1, self.count)


def _cosines(
    block: nn.Module, before: Float[Tensor, "..."], after: Float[Tensor, "..."]
) -> Float[Tensor, " positions"]:
    """One for each position at which anything goes in or comes out."""
    is_channels_first = before.dim() > 3 or any(isinstance(m, nn.Conv1d) for m in block.modules())
    axis = 1 if is_channels_first else -1
    a, b = (x.float().movedim(axis, -1).flatten(0, -2) for x in (before, after))
    is_there = (a != 0).any(1) | (b != 0).any(1)
    return functional.cosine_similarity(a[is_there], b[is_there], dim=1)


@contextlib.contextmanager
def _watched(blocks: Mapping[str, nn.Module], sums: Mapping[str, _Mean]) -> Iterator[None]:
    handles = []

    def watch(name: str, block: nn.Module) -> None:
        before: list[Tensor] = []

        def keep(_: nn.Module, inputs: tuple[Any, ...]) -> None:
            # a copy, because a block may work in place
            before.append(inputs[0].clone())

        def compare(block: nn.Module, _: object, output: Any) -> None:
            sums[name].add(_cosines(block, before.pop(), output))

        handles.append(block.register_forward_pre_hook(keep))
        handles.append(block.register_forward_hook(compare))

    for name, block in blocks.items():
        watch(name, block)
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
