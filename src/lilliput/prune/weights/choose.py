"""The weights that stay, for a sparsity of the whole network."""

from collections.abc import Callable, Iterator, Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lilliput.graph.masks import mask_of, original_of
from lilliput.prune.weights.allotment import Allotment, PerLayer
from lilliput.prune.weights.mask import oriented, set_mask
from lilliput.prune.weights.patterns import Pattern

__all__ = ["OnDemand", "check_sparsity", "choose", "fitting", "magnitudes", "settled_sparsity"]


def check_sparsity(sparsity: float) -> None:
    """Refuses what is no share.

    Raises:
        ValueError: Names the value.
    """
    if not 0 <= sparsity < 1:
        raise ValueError(f"sparsity must be at least 0 and below 1, got {sparsity}")


def settled_sparsity(sparsity: float | None, pattern: Pattern, usual: float = 0.5) -> float:
    """The sparsity asked for, which must not contradict the pattern.

    Raises:
        ValueError: It is out of range, or the pattern fixes another.
    """
    if sparsity is None:
        return usual if pattern.sparsity is None else pattern.sparsity
    check_sparsity(sparsity)
    if pattern.sparsity is not None and abs(sparsity - pattern.sparsity) > 1e-6:
        raise ValueError(
            f"{pattern} makes a sparsity of {pattern.sparsity:g}, got {sparsity:g}; "
            "leave sparsity out"
        )
    return sparsity


def fitting(layers: Mapping[str, nn.Module], pattern: Pattern) -> dict[str, nn.Module]:
    """The layers whose weight can have the pattern."""
    return {
        name: layer
        for name, layer in layers.items()
        if pattern.fits(tuple(oriented(layer, original_of(layer)).shape))
    }


class OnDemand(Mapping[str, Tensor]):
    """Tensors that are made each time anew, so that no more than one is held.

    Args:
        names: Of all there are.
        make: Gives the one of a name.
    """

    def __init__(self, names: tuple[str, ...], make: Callable[[str], Tensor]) -> None:
        self._names, self._make = names, make

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._names:
            raise KeyError(name)
        return self._make(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


@torch.no_grad()
def choose(
    module: nn.Module,
    scores: Mapping[str, Float[Tensor, "..."]],
    sparsity: float,
    pattern: Pattern,
    allotment: Allotment,
) -> None:
    """Sets the masks of layers so that the highest scores stay.

    Args:
        module: The network, changed in place.
        scores: Of the weights of each layer.
        sparsity: Share of all their weights to zero.
        pattern: One that fixes every layer's share leaves nothing to allot.
        allotment: How many go where.
    """
    layers = {name: module.get_submodule(name) for name in scores}
    turned = OnDemand(tuple(scores), lambda name: oriented(layers[name], scores[name]))
    shared = PerLayer() if pattern.sparsity is not None else allotment
    numbers = shared(module, turned, sparsity, pattern) if turned else {}
    for name, number in numbers.items():
        keep = pattern.keep(turned[name], number)
        set_mask(module, name, oriented(layers[name], keep))


def magnitudes(layers: Mapping[str, nn.Module], goes_on: bool) -> Mapping[str, Tensor]:
    """The sizes of the weights, each layer's worked out when it is asked for.

    Args:
        layers: By name.
        goes_on: What is under a mask scores below all else, so that it stays there.

    Source: Han et al. 2015, "Learning both Weights and Connections", section 3.
    """

    def score(name: str) -> Tensor:
        size, mask = original_of(layers[name]).detach().abs(), mask_of(layers[name])
        return size.masked_fill_(~mask.mask, -1) if goes_on and mask is not None else size

    return OnDemand(tuple(layers), score)
