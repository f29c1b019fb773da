"""Weights that follow from others, by masks, palettes or quantizers, as plain parameters."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from lilliput.core import Model

__all__ = ["make_plain", "plain_copy_of"]


def make_plain(layer: nn.Module) -> None:
    """Makes what a layer's parametrizations compute its own parameters, in place.

    The class that parametrizations made, which copies of the layer share, stays as it is.

    Args:
        layer: With parametrizations.
    """
    values = dict(_values(layer))
    del layer.parametrizations
    layer.__class__ = type(layer).__bases__[0]
    for name, value in values.items():
        layer.register_parameter(name, value)


@torch.no_grad()
def _values(layer: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    for name, chain in layer.parametrizations.items():  # type: ignore[operator, union-attr]
        value: Tensor = getattr(layer, name).detach().clone()
        yield name, nn.Parameter(value, any(p.requires_grad for p in chain.parameters()))


def plain_copy_of(model: Model) -> Model:
    """The same network with the keys of its own classes; the model itself where it has them."""
    if not any(parametrize.is_parametrized(part) for part in model.module.modules()):
        return model
    copy = model.clone()
    for part in list(copy.module.modules()):
        if parametrize.is_parametrized(part):
            make_plain(part)
    return copy
