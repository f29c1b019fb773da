"""Smaller kernels: what the rim of a large one added is taken up by its centre."""

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import nn

from lilliput.core import Model, Stage, Task
from lilliput.core.settings import check_names
from lilliput.edit.layers import Layer, places, replaced, unchanged
from lilliput.edit.parts import convolution, in_a_row, moves_of
from lilliput.edit.reads import Reads, corrected_bias, matrices, reads_of, right_solved

__all__ = ["ShrinkKernels"]


@dataclass(frozen=True)
class ShrinkKernels:
    """Cuts kernels down to their centre, padded less, so that all sizes stay.

    With a task, the centre is fitted to what the whole kernel gave. Suited are convolutions whose
    kernel is larger along some axis, by an even number of weights, and padded at least so far.

    Args:
        size: Weights along each axis; axes that have fewer stay.
        layers: Names of convolutions; empty for all that suit.
        task: Gives the data to fit to; without it the rim is dropped.
        samples: Training examples to look at.
    """

    size: int = 3
    layers: tuple[str, ...] = ()
    task: Task | None = None
    samples: int = 256
    stage: ClassVar[Stage] = "edit"

    def __post_init__(self) -> None:
        check_names("layers", self.layers)
        if self.size < 1:
            raise ValueError(f"size must be 1 or more, got {self.size}")
        if self.samples < 1:
            raise ValueError(f"samples must be 1 or more, got {self.samples}")

    def __call__(self, model: Model, /) -> Model:
        """Gives the model with smaller kernels.

        Raises:
            PassError: A name is no convolution that suits.
            TaskError: The task has no training data.
        """
        what = f"convolution that can shrink to {self.size}"
        found = places(model, self.layers, self._suits, what)
        if not found:
            return unchanged(model, "ShrinkKernels", what)
        reads = reads_of(model, found, self.task, self.samples)
        new = {name: self._shrunk(place.layer, reads[name]) for name, place in found.items()}
        return replaced(model, new)

    def _suits(self, layer: Layer) -> bool:
        if isinstance(layer, nn.Linear):
            return False
        margins = self._margins(layer)
        return any(margins) and all(
            (kernel <= self.size or (kernel - self.size) % 2 == 0)
            and (layer.padding == "same" or int(pad) >= margin * step)
            for kernel, margin, step, pad in zip(
                layer.kernel_size, margins, layer.dilation, _pads(layer), strict=True
            )
        )

    def _margins(self, layer: nn.Conv1d | nn.Conv2d) -> list[int]:
        """Weights that go at each end of each axis."""
        return [max(0, kernel - self.size) // 2 for kernel in layer.kernel_size]

    def _shrunk(self, layer: Layer, reads: Reads) -> nn.Module:
        assert not isinstance(layer, nn.Linear)  # noqa: S101  as `_suits` says
        margins = self._margins(layer)
        window = [
            slice(m, kernel - m) for m, kernel in zip(margins, layer.kernel_size, strict=True)
        ]
        inside = torch.zeros(layer.weight.shape[1:], dtype=torch.bool)
        inside[:, *window] = True
        kept = inside.flatten().to(layer.weight.device)
        rim, whole = matrices(layer) * ~kept, matrices(layer)
        read = reads.second[:, :, kept]
        moved = right_solved(rim @ read, read[:, kept])  # what the rim gave, told from the centre
        centre = whole[:, :, kept] + moved
        change = whole.clone()
        change[:, :, kept] -= centre
        pads = [
            pad - m * step
            for pad, m, step in zip(_pads(layer), margins, layer.dilation, strict=True)
        ]
        shape = [part.stop - part.start for part in window]
        made = convolution(
            layer,
            centre.reshape(*layer.weight.shape[:2], *shape),
            replace(moves_of(layer), padding="same" if layer.padding == "same" else tuple(pads)),
            corrected_bias(layer, reads, change),
        )
        return in_a_row(layer, [made])[0]


def _pads(layer: nn.Conv1d | nn.Conv2d) -> list[int]:
    if isinstance(layer.padding, str):  # "same" is told apart before these are used
        return [0] * len(layer.kernel_size)
    return [int(pad) for pad in layer.padding]
