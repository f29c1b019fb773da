"""Masks on weights: which numbers are zero, and stay zero while the others learn."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.utils import parametrize

__all__ = ["Mask", "bake_masks", "is_masked", "mask_of", "masks_aside", "original_of", "put_mask"]


class Mask(nn.Module):
    """A parametrization of a layer's weight: zero wherever the mask is false.

    No gradient reaches a weight under the mask. Its value is kept, though weight decay and what is
    left of momentum still move it.

    Args:
        mask: True where the weight stays.
    """

    mask: Tensor

    def __init__(self, mask: Bool[Tensor, "..."]) -> None:
        super().__init__()
        self.register_buffer("mask", mask)

    def forward(self, weight: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        return weight * self.mask

    def right_inverse(self, weight: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """What is assigned to a masked weight becomes the weight under the mask."""
        return weight


def mask_of(layer: nn.Module) -> Mask | None:
    """The mask on a layer's weight, where that is all that is parametrized."""
    if not parametrize.is_parametrized(layer, "weight"):
        return None
    chains: nn.ModuleDict = layer.parametrizations  # type: ignore[assignment]
    first = chains["weight"][0]  # type: ignore[index]
    is_alone = len(chains) == 1 and len(chains["weight"]) == 1  # type: ignore[arg-type]
    return first if is_alone and isinstance(first, Mask) else None


def is_masked(layer: nn.Module) -> bool:
    """Whether a mask is all that is parametrized in a layer."""
    return mask_of(layer) is not None


def original_of(layer: nn.Module) -> nn.Parameter:
    """The parameter behind a layer's weight, under its mask if it has one."""
    holder = layer.parametrizations["weight"] if is_masked(layer) else layer  # type: ignore[index]
    weight: nn.Parameter = holder.original if is_masked(layer) else holder.weight  # type: ignore[union-attr, assignment]
    return weight


def put_mask(layer: nn.Module, mask: Mask) -> None:
    """Puts a mask on a plain weight, whose parameter stays the same object."""
    parametrize.register_parametrization(layer, "weight", mask)


def bake_masks(module: nn.Module) -> None:
    """Makes masked weights plain ones that are zero there; they are free to learn again."""
    for layer in _masked(module):
        _take_off(layer, sets_zeros=True)


@contextmanager
def masks_aside(module: nn.Module) -> Iterator[None]:
    """Inside, masked layers are plain ones of PyTorch's own classes, with the weights under masks.

    For changes that keep every zero where it is, such as scaling. Afterwards the masks lie on the
    weights that the layers have then.
    """
    taken = [(layer, _take_off(layer, sets_zeros=False)) for layer in _masked(module)]
    try:
        yield
    finally:
        for layer, mask in taken:
            put_mask(layer, mask)


def _masked(module: nn.Module) -> list[nn.Module]:
    return [layer for layer in module.modules() if is_masked(layer)]


def _take_off(layer: nn.Module, sets_zeros: bool) -> Mask:
    """Gives a layer its own class back; that of a masked one is shared with its copies."""
    mask, weight = mask_of(layer), original_of(layer)
    assert mask is not None  # noqa: S101
    if sets_zeros:
        with torch.no_grad():
            weight.masked_fill_(~mask.mask, 0)
    plain = parametrize.type_before_parametrizations(layer)
    del layer.parametrizations
    layer.__class__ = plain
    rest = dict(layer._parameters)  # noqa: SLF001
    layer._parameters.clear()  # noqa: SLF001
    for name, parameter in {"weight": weight, **rest}.items():
        layer.register_parameter(name, parameter)
    return mask
