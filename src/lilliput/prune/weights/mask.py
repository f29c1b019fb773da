"""The layers whose weights may be masked, and their masks."""

from collections.abc import Sequence

from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.utils import parametrize

from lilliput.core import Model, PassError
from lilliput.core.spelling import did_you_mean
from lilliput.graph.masks import Mask, is_masked, mask_of, original_of, put_mask

__all__ = ["masked", "oriented", "prunable", "set_mask", "sparsity_of"]

_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, *_TRANSPOSED)


def masked(module: nn.Module) -> dict[str, Bool[Tensor, "..."]]:
    """The mask of every masked layer by its name, true where weights stay.

    Layers that share a weight share the mask, and are there under each of their names.
    """
    found = {name: mask_of(part) for name, part in module.named_modules()}
    return {name: mask.mask for name, mask in found.items() if mask is not None}


def sparsity_of(model: Model | nn.Module) -> float:
    """The share of zeros among the weights of linear layers and convolutions, 0 to 1."""
    module = model.module if isinstance(model, Model) else model
    zeros = total = 0
    for layer in prunable(module).values():
        weight: Tensor = layer.weight  # type: ignore[assignment]
        zeros, total = zeros + int((weight == 0).sum()), total + weight.numel()
    return zeros / max(1, total)


def set_mask(module: nn.Module, name: str, mask: Bool[Tensor, "..."]) -> None:
    """Sets a layer's mask, in place where it has one already.

    Args:
        module: The network.
        name: Of the layer. Others that hold the same weight get the same mask.
        mask: True where the weight stays.

    Raises:
        PassError: There is no such layer, or its weight cannot be masked.
        ValueError: The mask has another shape than the weight.
    """
    layers = dict(module.named_modules())
    layer = layers.get(name)
    if not isinstance(layer, _LAYERS):
        raise PassError(
            f"no linear layer or convolution is called {name!r}; "
            f"{did_you_mean(name, prunable(module))}"
        )
    weight = original_of(layer)
    if mask.shape != weight.shape:
        raise ValueError(
            f"the mask of {name!r} must be of shape {list(weight.shape)}, got {list(mask.shape)}"
        )
    own = mask_of(layer)
    if own is not None:
        own.mask.copy_(mask)
        return
    put(module, name, Mask(mask.clone()))


def put(module: nn.Module, name: str, mask: Mask) -> None:
    """Puts a mask on a layer, and on all that hold the same weight.

    Raises:
        PassError: The weight is computed from others, or held under another name.
    """
    layer = module.get_submodule(name)
    weight = original_of(layer)
    holders = [part for part in module.modules() if _holds(part, weight)]
    # a weight that hooks compute, such as those of `nn.utils.weight_norm`, is no parameter
    if parametrize.is_parametrized(layer) or not holders:
        raise PassError(
            f"{name!r} is parametrized already, by something else than a mask; remove that, or "
            f"leave the layer out by skip=({name!r},)"
        )
    for part in holders:
        leaves = [leaf for leaf, p in part.named_parameters(recurse=False) if p is weight]
        if leaves != ["weight"]:
            raise PassError(
                f"the weight of {name!r} is {leaves[-1]!r} of another module, too, where no mask "
                f"would be; leave the layer out by skip=({name!r},)"
            )
    for part in holders:
        put_mask(part, mask)


def _holds(part: nn.Module, weight: Tensor) -> bool:
    return any(p is weight for p in part.parameters(recurse=False))


def prunable(module: nn.Module, skip: Sequence[str] = ()) -> dict[str, nn.Module]:
    """Linear layers and convolutions by name; of those that share a weight the first.

    Args:
        module: The network.
        skip: Names of layers, or of modules with layers inside, to leave out.

    Raises:
        PassError: There is no layer in a module that is to be skipped.
    """
    every = {
        name: part
        for name, part in module.named_modules()
        if isinstance(part, _LAYERS) and part.weight.numel()
    }
    for name in skip:
        if not any(_is_within(layer, name) for layer in every):
            raise PassError(f"no layer to skip is called {name!r}; {did_you_mean(name, every)}")
    skipped = {
        _key(layer)
        for name, layer in every.items()
        if any(_is_within(name, other) for other in skip)
    }
    firsts: dict[int, str] = {}
    for name, layer in every.items():
        firsts.setdefault(_key(layer), name)
    return {name: every[name] for key, name in firsts.items() if key not in skipped}


def _key(layer: nn.Module) -> int:
    """The same for layers that share a weight."""
    is_computed = parametrize.is_parametrized(layer, "weight") and not is_masked(layer)
    return id(layer) if is_computed else id(original_of(layer))


def _is_within(layer: str, name: str) -> bool:
    return layer == name or layer.startswith(f"{name}.")


def oriented(layer: nn.Module, values: Float[Tensor, "..."] | Bool[Tensor, "..."]) -> Tensor:
    """What there is for each weight, outputs first; the same again gives it back."""
    return values.transpose(0, 1) if isinstance(layer, _TRANSPOSED) else values
