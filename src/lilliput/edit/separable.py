"""A convolution becomes a depthwise one, which looks around, and a pointwise one, which mixes.

Sources: Howard et al. 2017, "MobileNets", section 3.1; the first guess, by singular vectors of each
input channel's kernels, is Guo et al. 2018, "Network Decoupling", theorem 1.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lilliput.core import Model, Stage, Task
from lilliput.core.settings import check_names
from lilliput.edit.layers import Layer, places, replaced, unchanged
from lilliput.edit.parts import convolution, in_a_row, moves_of, pointwise
from lilliput.edit.reads import Reads, corrected_bias, matrices, reads_of, right_solved

__all__ = ["SeparateConvolutions"]

Mix = Float[Tensor, "out before each"]
Kernels = Float[Tensor, "before each size"]


@dataclass(frozen=True)
class SeparateConvolutions:
    """Replaces convolutions by depthwise separable ones, fitted by alternating least squares.

    It loses much more than a low rank does, and saves more; training afterwards is needed.

    Args:
        layers: Names of convolutions of one group with a kernel above 1; empty for all.
        task: Gives the data to fit to; without it all inputs count alike.
        multiplier: Depthwise kernels for each input channel.
        samples: Training examples to look at.
        sweeps: How often each part is fitted again to the other.
    """

    layers: tuple[str, ...] = ()
    task: Task | None = None
    multiplier: int = 1
    samples: int = 256
    sweeps: int = 2
    stage: ClassVar[Stage] = "edit"

    def __post_init__(self) -> None:
        check_names("layers", self.layers)
        for name, least in (("multiplier", 1), ("samples", 1), ("sweeps", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be {least} or more, got {getattr(self, name)}")

    def __call__(self, model: Model, /) -> Model:
        """Gives the model with separable convolutions.

        Raises:
            PassError: A name is no convolution that suits.
            TaskError: The task has no training data.
        """
        what = "convolution of one group with a kernel above 1"
        found = places(model, self.layers, _suits, what)
        if not found:
            return unchanged(model, "SeparateConvolutions", what)
        reads = reads_of(model, found, self.task, self.samples)
        new = {name: self._separated(place.layer, reads[name]) for name, place in found.items()}
        return replaced(model, new)

    def _separated(self, layer: Layer, reads: Reads) -> nn.Module:
        assert not isinstance(layer, nn.Linear)  # noqa: S101  as `_suits` says
        flat, second = matrices(layer)[0], reads.second[0]
        before = layer.in_channels
        weight = flat.reshape(len(flat), before, -1)
        kernels, mix = _first_guess(weight, second, self.multiplier)
        mix = _mix_fitted(weight, second, kernels, mix)
        for _ in range(self.sweeps):
            kernels = _kernels_fitted(weight, second, kernels, mix)
            mix = _mix_fitted(weight, second, kernels, mix)
        lengths = kernels.norm(dim=2).clamp_min(1e-30)
        change = weight - torch.einsum("oim,imk->oik", mix, kernels)
        bias = corrected_bias(layer, reads, change.flatten(1)[None])
        around = convolution(
            layer,
            (kernels / lengths[:, :, None]).reshape(-1, 1, *layer.kernel_size),
            replace(moves_of(layer), groups=before),
        )
        return in_a_row(layer, [around, pointwise(layer, (mix * lengths).flatten(1), bias)])


def _suits(layer: Layer) -> bool:
    is_convolution = not isinstance(layer, nn.Linear) and layer.groups == 1
    return is_convolution and layer.weight[0, 0].numel() > 1 and layer.weight.shape[1] > 1


def _first_guess(
    weight: Float[Tensor, "out before size"],
    second: Float[Tensor, "fan fan"],
    multiplier: int,
) -> tuple[Kernels, Mix]:
    """Each input channel by itself: directions of the outputs, and what they read of it."""
    out, before, size = weight.shape
    each = min(multiplier, out, size)
    own = second.reshape(before, size, before, size).diagonal(dim1=0, dim2=2).permute(2, 0, 1)
    kernels = weight.permute(1, 0, 2)
    carried = kernels @ own @ kernels.mT
    directions = torch.linalg.eigh(carried).eigenvectors[:, :, -each:].flip(2)
    found = directions.mT @ kernels
    spare = multiplier - each
    if spare:  # more kernels than there is anything to see
        found = torch.cat([found, found.new_zeros(before, spare, size)], 1)
        directions = torch.cat([directions, directions.new_zeros(before, out, spare)], 2)
    return found, directions.permute(1, 0, 2)


def _mix_fitted(
    weight: Float[Tensor, "out before size"],
    second: Float[Tensor, "fan fan"],
    kernels: Kernels,
    mix: Mix,
) -> Mix:
    """The pointwise part by least squares on what the depthwise part gives."""
    spread = torch.block_diag(*kernels)
    flat = mix.flatten(1)
    lost = weight.flatten(1) - flat @ spread
    read = second @ spread.T
    return (flat + right_solved(lost @ read, spread @ read)).reshape(mix.shape)


def _kernels_fitted(
    weight: Float[Tensor, "out before size"],
    second: Float[Tensor, "fan fan"],
    kernels: Kernels,
    mix: Mix,
) -> Kernels:
    """All depthwise kernels together by least squares, for a given pointwise part."""
    before, each, size = kernels.shape
    lost = (weight - torch.einsum("oim,imk->oik", mix, kernels)).flatten(1)
    pulled = (lost @ second).reshape(-1, before, size)
    pull = torch.einsum("oim,oik->imk", mix, pulled).reshape(1, -1)
    alike = torch.einsum("oim,ojn->imjn", mix, mix)
    curve = torch.einsum("imjn,ikjl->imkjnl", alike, second.reshape(before, size, before, size))
    number = before * each * size
    moved = right_solved(pull, curve.reshape(number, number))
    return kernels + moved.reshape(kernels.shape)
