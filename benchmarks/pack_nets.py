"""Trained networks as integers, for `pack.py` and `pack_beside.py`."""

from functools import cache

import torch
from safetensors.torch import load_file

from lilliput.core.data import data_dir
from lilliput.pack import Quantized

__all__ = ["NETS", "STEPS", "state_of"]

NETS = ("resnet20", "resnet56", "lite0", "minilm", "style")
STEPS = ("int8 by row", "half a deviation", "one deviation")
SMALLEST = 1 << 14

Weights = dict[str, torch.Tensor]


@cache
def weights(net: str) -> Weights:
    """A trained network's tensors of more than 16,384 weights, of two axes or more."""
    if net == "lite0":
        import lite0

        state = lite0.model().module.state_dict()
    elif net == "minilm":
        import minilm

        state = minilm.model().module.state_dict()
    elif net == "style":
        stored = load_file(data_dir() / "style" / "wave.safetensors")
        # filters are stored with their channels last; here as PyTorch has them
        state = {k: v.permute(3, 2, 0, 1).contiguous() for k, v in stored.items() if v.dim() == 4}
    else:
        state = load_file(data_dir() / "cifar-resnets" / f"{net}.safetensors")
    return {k: v for k, v in state.items() if v.dim() > 1 and v.numel() > SMALLEST}


def rounded(weight: torch.Tensor, step: str) -> torch.Tensor:
    """A weight as integers."""
    if step != "int8 by row":
        unit = weight.std() / (2 if step == "half a deviation" else 1)
        return (weight / unit).round().to(torch.int32)
    largest = weight.abs().reshape(len(weight), -1).amax(1).clamp_min(1e-12)
    scale = (largest / 127).reshape(-1, *[1] * (weight.dim() - 1))
    return (weight / scale).round().to(torch.int32)


def state_of(net: str, step: str) -> dict[str, torch.Tensor | Quantized]:
    """Integers of a network; what their steps are does not matter here."""
    return {name: Quantized(rounded(w, step), 1.0) for name, w in weights(net).items()}
