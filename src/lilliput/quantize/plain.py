"""Weights that masks, palettes and quantizers make of others, as plain parameters."""

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from lilliput.core import Model
from lilliput.graph.masks import Mask, give_back, without_masks
from lilliput.quantize.numbers.fake import FakeQuantize
from lilliput.quantize.sharing.cluster import Palette

__all__ = ["make_plain", "plain_copy_of"]


@torch.no_grad()
def make_plain(layer: nn.Module) -> None:
    """Makes the weight that a layer computes its own parameter, in place.

    Args:
        layer: Whose weight alone is parametrized.
    """
    chain: parametrize.ParametrizationList = layer.parametrizations["weight"]  # type: ignore[assignment, index]
    weight: Tensor = layer.weight.detach().clone()  # type: ignore[operator]
    give_back(layer, nn.Parameter(weight, any(p.requires_grad for p in chain.parameters())))


def plain_copy_of(model: Model) -> Model:
    """The network with the keys of its own classes; the model itself where it has them.

    Parametrizations of the user's own, such as weight norm, are of those classes and stay.
    """
    model = without_masks(model)
    if not any(_is_ours(part) for part in model.module.modules()):
        return model
    copy = model.clone()
    for part in list(copy.module.modules()):
        if _is_ours(part):
            make_plain(part)
    return copy


def _is_ours(layer: nn.Module) -> bool:
    """Whether nothing but the weight is parametrized, and by nothing but what passes put there."""
    if not parametrize.is_parametrized(layer, "weight"):
        return False
    chains: nn.ModuleDict = layer.parametrizations  # type: ignore[assignment]
    parts = list(chains["weight"])  # type: ignore[call-overload]
    return len(chains) == 1 and all(isinstance(p, Mask | Palette | FakeQuantize) for p in parts)
