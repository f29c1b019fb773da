"""A unit's own filters: the weights that make its channels, without those that read them."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lilliput.core import Model
from lilliput.graph import ChannelGroup
from lilliput.graph.masks import effective_weights
from lilliput.prune.places import Place, places_of

__all__ = ["filters_of", "makes", "own_filters", "owner_of"]

_BACKWARDS = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d, nn.Embedding)
"""Layers whose outputs lie along axis 1 of their weight."""


def filters_of(model: Model, group: ChannelGroup) -> dict[str, Float[Tensor, "units numbers"]]:
    """For each weight that makes the channels, all its numbers for each unit."""
    weights = _weights(model)
    found = {}
    for place in places_of(group):
        if place.tensor in weights and makes(model, group, place):
            found[place.tensor] = _rows(weights[place.tensor], place, group.size)
    return found


def own_filters(model: Model, group: ChannelGroup) -> Float[Tensor, "units numbers"]:
    """The numbers of the layer that the group is named after, for each unit."""
    return torch.cat(
        [rows for name, rows in filters_of(model, group).items() if _layer(name) == _named(group)],
        1,
    )


def makes(model: Model, group: ChannelGroup, place: Place) -> bool:
    """Whether the slices are filters; else they read the channels.

    A layer's type says along which axis its outputs lie. A parameter that the network's own code
    multiplies with has none; where the group is named after it, it makes the channels.
    """
    usual = 1 if isinstance(owner_of(model, place.tensor), _BACKWARDS) else 0
    if _layer(place.tensor) == _named(group) and (place.tensor, usual) not in group.axes:
        return True
    return place.axis == usual


def owner_of(model: Model, tensor: str) -> nn.Module:
    """The layer that a parameter is of, also where it is parametrized."""
    name = tensor.partition(".parametrizations.")[0] if ".parametrizations." in tensor else ""
    return model.module.get_submodule(name or tensor.rpartition(".")[0])


def _weights(model: Model) -> dict[str, Tensor]:
    weights = effective_weights(model.module)
    return {name: weight.detach() for name, weight in weights.items() if weight.dim() > 1}


def _layer(tensor: str) -> str:
    layer, _, is_parametrized = tensor.partition(".parametrizations.")
    return layer if is_parametrized else tensor.rpartition(".")[0] or tensor


def _named(group: ChannelGroup) -> str:
    return group.name.partition(":")[0]


def _rows(weight: Tensor, place: Place, size: int) -> Float[Tensor, "units numbers"]:
    """A unit's slices one after another; where it has fewer than others, zeros follow."""
    lines = weight.movedim(place.axis, 0).float().flatten(1).cpu()
    units = [lines[place.indices[place.units == k]].reshape(-1) for k in range(size)]
    return nn.utils.rnn.pad_sequence(units, batch_first=True)
