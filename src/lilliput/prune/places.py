"""Where the units of a group lie in each tensor, as indices, so that sums over units are quick."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from lilliput.graph import ChannelGroup

__all__ = ["Place", "line_of", "per_unit", "places_of"]


@dataclass(frozen=True, eq=False)
class Place:
    """One axis of one tensor.

    Args:
        tensor: Its name.
        axis: The axis that units are slices of.
        units: Which unit has each slice.
        indices: Where along the axis each slice lies.
    """

    tensor: str
    axis: int
    units: Int64[Tensor, " slices"]
    indices: Int64[Tensor, " slices"]


def places_of(group: ChannelGroup) -> tuple[Place, ...]:
    """All axes that the units of a group lie on."""
    found: dict[tuple[str, int], list[tuple[int, int]]] = defaultdict(list)
    for unit, sites in enumerate(group.units):
        for site in sites:
            found[site.tensor, site.axis].append((unit, site.index))
    return tuple(
        Place(tensor, axis, *torch.tensor(pairs).T) for (tensor, axis), pairs in found.items()
    )


def line_of(values: Tensor, axis: int) -> Float[Tensor, " length"]:
    """Sums over all axes but one."""
    rows = values.movedim(axis, 0).float()
    return rows.reshape(len(rows), -1).sum(1).cpu()


def per_unit(
    size: int, places: Sequence[Place], lines: Mapping[tuple[str, int], Tensor]
) -> Float[Tensor, " units"]:
    """Sums, for each unit, all values on its slices.

    Args:
        size: How many units there are.
        places: Where they lie.
        lines: For each tensor and axis that counts, the sum of each slice.
    """
    total = torch.zeros(size)
    for place in places:
        line = lines.get((place.tensor, place.axis))
        if line is not None:
            total.index_add_(0, place.units, line[place.indices])
    return total
