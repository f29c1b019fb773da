"""What each position of a layer's output reads, as columns: a layer is then one matrix product."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Geometry", "columns", "columns_at", "filters", "geometry_of"]

Layer = nn.Linear | nn.Conv1d | nn.Conv2d


@dataclass(frozen=True)
class Geometry:
    """How a convolution moves over its input; two axes, the first of length 1 where it has one.

    Args:
        kernel: Rows and columns of a filter.
        stride: Steps between positions.
        padding: As `functional.pad` takes it: left, right, above, below.
        dilation: Steps between the weights of a filter.
        groups: Parts of the channels that are read apart.
    """

    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, ...] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1


def geometry_of(layer: Layer) -> Geometry | None:
    """The geometry of a convolution that pads with zeros; None for a linear layer."""
    if isinstance(layer, nn.Linear):
        return None
    line = (1,) * (2 - len(layer.kernel_size))
    left = [edge for pad in reversed(_edges(layer)) for edge in pad]
    return Geometry(
        _two((*line, *layer.kernel_size)),
        _two((*line, *layer.stride)),
        (*left, *(0, 0) * len(line)),
        _two((*line, *layer.dilation)),
        layer.groups,
    )


def _edges(layer: nn.Conv1d | nn.Conv2d) -> list[tuple[int, int]]:
    """Padding before and after, for each axis."""
    if layer.padding == "valid":
        return [(0, 0)] * len(layer.kernel_size)
    if layer.padding == "same":
        totals = [d * (k - 1) for d, k in zip(layer.dilation, layer.kernel_size, strict=True)]
        return [(total // 2, total - total // 2) for total in totals]
    return [(int(pad), int(pad)) for pad in layer.padding]


def _two(sizes: tuple[int, ...]) -> tuple[int, int]:
    return int(sizes[0]), int(sizes[1])


def filters(weight: Shaped[Tensor, "out ..."], groups: int) -> Shaped[Tensor, "groups each fan"]:
    """A weight, or what there is for each of its numbers, as one matrix for each group."""
    return weight.reshape(groups, weight.shape[0] // groups, -1)


def columns(
    x: Float[Tensor, "batch ..."], geometry: Geometry | None
) -> Float[Tensor, "groups fan positions"]:
    """What each position of a layer's output reads, in the order of its filters' weights.

    Args:
        x: What the layer reads, a whole batch of it.
        geometry: Of a convolution; None for a linear layer.
    """
    x = x.float()
    if geometry is None:
        return x.reshape(1, -1, x.shape[-1]).mT
    if x.dim() == 3:
        x = x[:, :, None]
    x = functional.pad(x, geometry.padding)
    patches = functional.unfold(x, geometry.kernel, geometry.dilation, 0, geometry.stride)
    batch, _, positions = patches.shape
    by_group = patches.view(batch, geometry.groups, -1, positions)
    return by_group.permute(1, 2, 0, 3).flatten(2)


def columns_at(
    x: Float[Tensor, "batch ..."], geometry: Geometry | None, most: int, draw: torch.Generator
) -> Float[Tensor, "groups fan positions"]:
    """The same of some positions, drawn by chance and the same ones in each example.

    Args:
        x: What the layer reads, a whole batch of it.
        geometry: Of a convolution; None for a linear layer.
        most: About how many positions of the whole batch; at least one of each example.
        draw: Where chance comes from.
    """
    x = x.float()
    if geometry is None:
        rows = x.reshape(-1, x.shape[-1])
        return rows[_chosen(len(rows), most, draw)][None].mT
    if x.dim() == 3:
        x = x[:, :, None]
    x = functional.pad(x, geometry.padding)
    wide = x.shape[3]
    reach = [d * (k - 1) for d, k in zip(geometry.dilation, geometry.kernel, strict=True)]
    high, across = (
        (size - r - 1) // s + 1
        for size, r, s in zip(x.shape[2:], reach, geometry.stride, strict=True)
    )
    chosen = _chosen(high * across, max(1, most // len(x)), draw)
    starts = chosen // across * geometry.stride[0] * wide + chosen % across * geometry.stride[1]
    down, right = (
        torch.arange(k) * d for k, d in zip(geometry.kernel, geometry.dilation, strict=True)
    )
    places = (down[:, None] * wide + right).flatten()[:, None] + starts
    patches = x.flatten(2)[:, :, places.flatten()]
    by_group = patches.reshape(len(x), geometry.groups, -1, len(chosen))
    return by_group.permute(1, 2, 0, 3).flatten(2)


def _chosen(count: int, most: int, draw: torch.Generator) -> Int64[Tensor, " chosen"]:
    return torch.randperm(count, generator=draw)[:most]
