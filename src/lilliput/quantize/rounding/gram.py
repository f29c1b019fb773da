"""What a layer's inputs say of it: sums of products, from which its error follows exactly.

For a layer that gives `W x`, the squared error of other weights `V` that read `z` where it reads
`x` is, summed over all examples, `|V Z - W X|^2`. It depends on the examples through `Z Z'`, `X Z'`
and `X X'` alone, so thousands of positions of hundreds of examples shrink to a matrix as wide as a
filter.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.fx import Node

from lilliput.graph import Geometry, columns, columns_at, operator_of
from lilliput.quantize.beside.lockstep import Place

__all__ = ["Gram", "gram_of", "groups_of", "is_linear"]

_MOST_NUMBERS = 2**23
"""Of the columns that are held at a time: 32 MB."""

Matrix = Float[Tensor, "groups fan fan"]


@dataclass(frozen=True, eq=False)
class Gram:
    """Means over all positions of all examples, for each group of a layer.

    Args:
        read: `z z'`, of what the quantized network reads, about its mean.
        both: `x z'`, of what the float network reads and what the quantized one does.
        mean: Of `z`.
        mean_float: Of `x`.
    """

    read: Matrix
    both: Matrix
    mean: Float[Tensor, "groups fan"]
    mean_float: Float[Tensor, "groups fan"]


def is_linear(place: Place) -> bool:
    """Whether the layer is a product of its filters with what each position reads."""
    return operator_of(place.node) in {"linear", "conv1d", "conv2d"}


def gram_of(place: Place, has_bias: bool, positions: int | None = None) -> Gram:
    """Sums over all batches of a place.

    Args:
        place: A layer for which `is_linear` holds.
        has_bias: Whether the layer's bias can take up a difference of means; then products are
            taken about the means.
        positions: About how many of all examples are looked at, the same ones in both networks,
            drawn with a fixed seed; all of them where there are fewer, or where it is None.
    """
    total = 0
    sums: list[Tensor] = []
    geometry = _geometry(place.node, place.weight)
    examples = sum(len(x) for x in place.read)
    for read, read_float in zip(place.read, place.read_float, strict=True):
        for some, some_float in zip(_parts(place, read), _parts(place, read_float), strict=True):
            if positions is None:
                z, x = (columns(part, geometry) for part in (some, some_float))
            else:
                most = math.ceil(positions * len(some) / examples)
                z, x = (
                    columns_at(part, geometry, most, torch.Generator().manual_seed(total))
                    for part in (some, some_float)
                )
            total += z.shape[-1]
            new = [z @ z.mT, x @ z.mT, z.sum(-1), x.sum(-1)]
            sums = (
                [a + b.double() for a, b in zip(sums, new, strict=True)]
                if sums
                else [b.double() for b in new]
            )
    zz, xz, z, x = (value / total for value in sums)
    if has_bias:
        zz = zz - z[:, :, None] * z[:, None, :]
        xz = xz - x[:, :, None] * z[:, None, :]
    return Gram(zz.float(), xz.float(), z.float(), x.float())


def _parts(place: Place, read: Float[Tensor, "batch ..."]) -> tuple[Tensor, ...]:
    """A batch in parts whose columns take up little memory."""
    copies = 1 if operator_of(place.node) == "linear" else place.weight[0, 0].numel()
    size = max(1, _MOST_NUMBERS // max(1, read[0].numel() * copies))
    parts: tuple[Tensor, ...] = read.split(size)
    return parts


def groups_of(node: Node, weight: Float[Tensor, "out ..."]) -> int:
    """Into how many groups a layer's channels fall."""
    geometry = _geometry(node, weight)
    return geometry.groups if geometry else 1


def _geometry(node: Node, weight: Float[Tensor, "out ..."]) -> Geometry | None:
    """Of a convolution's call; None for a linear layer."""
    if operator_of(node) == "linear":
        return None
    rest: list[Any] = [*node.args[3:], *(None,) * 4]
    spatial = weight.dim() - 2
    stride = _pair(rest[0], spatial, 1)
    dilation = _pair(rest[2], spatial, 1)
    if isinstance(rest[1], str):
        totals = [d * (k - 1) for d, k in zip(dilation[-spatial:], weight.shape[2:], strict=True)]
        ends = [(t // 2, t - t // 2) if rest[1] == "same" else (0, 0) for t in totals]
    else:
        ends = [(p, p) for p in _pair(rest[1], spatial, 0)[-spatial:]]
    left = [end for pair in reversed(ends) for end in pair]
    kernel = (*(1,) * (2 - spatial), *weight.shape[2:])
    return Geometry(
        (int(kernel[0]), int(kernel[1])),
        stride,
        (*left, *(0, 0) * (2 - spatial)),
        dilation,
        int(rest[3] or 1),
    )


def _pair(value: Any, spatial: int, usual: int) -> tuple[int, int]:
    """Of two axes, the first being of length 1 where the layer has one."""
    sizes = [usual] * spatial if value is None else [int(v) for v in value]
    sizes = sizes * spatial if len(sizes) == 1 else sizes
    if spatial == 1:
        return (usual if usual else 0, sizes[0])
    return sizes[0], sizes[1]
