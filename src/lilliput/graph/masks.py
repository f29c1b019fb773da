"""Masks on weights: which numbers are zero, and stay zero while the others learn."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Bool, Float
from torch import Tensor, fx, nn
from torch.nn.utils import parametrize

from lilliput.core import Model
from lilliput.graph.graph import operator_of

__all__ = [
    "Mask",
    "effective_weights",
    "give_back",
    "is_masked",
    "mask_of",
    "masks_aside",
    "original_of",
    "put_mask",
    "without_masks",
]

_CHAIN = ".parametrizations.weight."


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


def original_of(layer: nn.Module) -> Tensor:
    """The parameter behind a layer's weight, under its mask if it has one."""
    if not is_masked(layer):
        return layer.weight  # type: ignore[return-value]
    chains: nn.ModuleDict = layer.parametrizations  # type: ignore[assignment]
    return chains["weight"].original  # type: ignore[return-value]


def put_mask(layer: nn.Module, mask: Mask) -> None:
    """Puts a mask on a plain weight, whose parameter stays the same object."""
    parametrize.register_parametrization(layer, "weight", mask)


def effective_weights(module: nn.Module) -> dict[str, Tensor]:
    """All parameters by all their names, with zeros where they are masked."""
    weights: dict[str, Tensor] = dict(module.named_parameters(remove_duplicate=False))
    for name, layer in module.named_modules(remove_duplicate=False):
        mask = mask_of(layer)
        if mask is not None:
            own = f"{name}{_CHAIN}original".lstrip(".")
            weights[own] = weights[own].detach() * mask.mask
    return weights


def without_masks(model: Model) -> Model:
    """Gives the network with plain weights that are zero where masks were; itself if none were.

    Its weights are free to learn again.
    """
    if not _masked(model.module) and not _masking(model.module):
        return model
    model = model.clone()
    for layer in _masked(model.module):
        _take_off(layer, sets_zeros=True)
    for node in _masking(model.module):
        _write_in(model.module, node)
    if isinstance(model.module, fx.GraphModule):
        model.module.recompile()
    return model


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


def _masking(module: nn.Module) -> list[fx.Node]:
    """Where a captured network masks weights outside of layers, such as those within attention."""
    if not isinstance(module, fx.GraphModule):
        return []
    return [node for node in module.graph.nodes if _is_masking(node)]


def _is_masking(node: fx.Node) -> bool:
    sources = [str(source.target) for source in node.all_input_nodes if source.op == "get_attr"]
    return operator_of(node) == "mul" and (
        [source.rpartition(_CHAIN)[2] for source in sources] == ["original", "0.mask"]
    )


@torch.no_grad()
def _write_in(module: nn.Module, node: fx.Node) -> None:
    """Puts zeros into the weight that a captured network masks itself."""
    weight, mask = node.all_input_nodes
    values = module.get_parameter(str(weight.target))
    values.masked_fill_(~module.get_buffer(str(mask.target)), 0)
    node.replace_all_uses_with(weight)
    node.graph.erase_node(node)
    if not mask.users:
        node.graph.erase_node(mask)


def _take_off(layer: nn.Module, sets_zeros: bool) -> Mask:
    mask, weight = mask_of(layer), original_of(layer)
    assert mask is not None  # noqa: S101
    if sets_zeros:
        with torch.no_grad():
            weight.masked_fill_(~mask.mask, 0)
    give_back(layer, weight)
    return mask


def give_back(layer: nn.Module, weight: Tensor) -> None:
    """Gives a layer whose weight is parametrized its own class back; its copies stay as they are.

    Args:
        layer: Nothing else of it is parametrized.
        weight: The parameter it has from now on, in the place it had among the others.
    """
    plain = parametrize.type_before_parametrizations(layer)
    del layer.parametrizations
    layer.__class__ = plain
    rest = dict(layer._parameters)  # noqa: SLF001
    layer._parameters.clear()  # noqa: SLF001
    layer.weight = weight
    layer._parameters.update(rest)  # noqa: SLF001
