"""Layers made of given weights, alike in all else to the one they stand for."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import skip_init

from lilliput.edit.layers import Layer

__all__ = ["Moves", "convolution", "in_a_row", "moves_of", "pointwise"]

Convolution = nn.Conv1d | nn.Conv2d


@dataclass(frozen=True)
class Moves:
    """How a convolution moves over its input, in PyTorch's own terms."""

    stride: tuple[int, ...]
    padding: str | tuple[int | str, ...]
    dilation: tuple[int, ...]
    groups: int = 1


def moves_of(layer: Convolution) -> Moves:
    """How a convolution moves."""
    padding = layer.padding if isinstance(layer.padding, str) else tuple(layer.padding)
    return Moves(tuple(layer.stride), padding, tuple(layer.dilation), layer.groups)


def convolution(
    like: Convolution,
    weight: Float[Tensor, "out each ..."],
    moves: Moves,
    bias: Float[Tensor, " out"] | None = None,
) -> Convolution:
    """A convolution of these weights, of the type and on the device of `like`."""
    made: Convolution = skip_init(
        nn.Conv1d if isinstance(like, nn.Conv1d) else nn.Conv2d,
        weight.shape[1] * moves.groups,
        weight.shape[0],
        tuple(weight.shape[2:]),
        stride=moves.stride,
        padding=moves.padding,
        dilation=moves.dilation,
        groups=moves.groups,
        bias=bias is not None,
        device=like.weight.device,
        dtype=like.weight.dtype,
    )
    _fill(made, like, weight, bias)
    return made


def pointwise(
    like: Layer,
    matrix: Float[Tensor, "out in"],
    bias: Float[Tensor, " out"] | None = None,
) -> Layer:
    """A linear layer, or for a convolution one whose kernel is 1."""
    if not isinstance(like, nn.Linear):
        ones = (1,) * len(like.kernel_size)
        moves = Moves(ones, tuple(0 for _ in ones), ones)
        return convolution(like, matrix.reshape(*matrix.shape, *ones), moves, bias)
    made: nn.Linear = skip_init(
        nn.Linear,
        matrix.shape[1],
        matrix.shape[0],
        bias=bias is not None,
        device=like.weight.device,
        dtype=like.weight.dtype,
    )
    _fill(made, like, matrix, bias)
    return made


def in_a_row(like: Layer, parts: Sequence[nn.Module]) -> nn.Sequential:
    """The layers one after another; what a folded BatchNorm knew of the outputs goes along."""
    for name, value in like.named_buffers(recurse=False):
        parts[-1].register_buffer(name, value.clone(), persistent=False)
    return nn.Sequential(*parts)


def _fill(made: Layer, like: Layer, weight: Tensor, bias: Tensor | None) -> None:
    made.weight = _parameter(weight, like.weight)
    if bias is not None:
        made.bias = _parameter(bias, like.weight if like.bias is None else like.bias)


def _parameter(value: Tensor, like: Tensor) -> nn.Parameter:
    with torch.no_grad():
        own = value.detach().to(like.device, like.dtype, copy=True).contiguous()
    return nn.Parameter(own, requires_grad=like.requires_grad)
