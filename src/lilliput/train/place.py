"""Lends a network to the training loop, and takes it back as it was stored before."""

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["as_lent", "lent", "random_states", "seed_all", "seeded", "set_random_states"]

_HALVES = (torch.float16, torch.bfloat16)


@contextlib.contextmanager
def lent(module: nn.Module, channels_last: bool) -> Iterator[None]:
    """Inside, the network is float32 and in train mode; after, in eval mode and stored as before.

    Device, type and strides of every tensor come back; float64 stays float64 throughout.
    """
    before = {
        (id(owner), name): (value.device, value.dtype, value.stride())
        for owner, name, value in _tensors(module)
    }
    module.train()
    if any(p.dtype in _HALVES for p in module.parameters()):
        module.float()
    if channels_last:
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    try:
        yield
    finally:
        for owner, name, value in list(_tensors(module)):
            if (id(owner), name) not in before:
                continue  # a hook put it there while training ran
            back = _as(value.detach(), *before[id(owner), name])
            if isinstance(value, nn.Parameter):
                value.data = back
                value.grad = None
            else:
                setattr(owner, name, back)
        module.eval()


def as_lent(value: Tensor) -> Tensor:
    """An input as a lent network reads it: float32 where it was of half precision."""
    return value.float() if value.dtype in _HALVES else value


def _tensors(module: nn.Module) -> Iterator[tuple[nn.Module, str, Tensor]]:
    for owner in module.modules():
        own = [*owner.named_parameters(recurse=False), *owner.named_buffers(recurse=False)]
        for name, value in own:
            yield owner, name, value


def _as(
    value: Tensor, device: torch.device, dtype: torch.dtype, strides: tuple[int, ...]
) -> Tensor:
    """The values on that device, in that type and order of storage."""
    value = value.to(device, dtype)
    if value.stride() == strides or len(strides) != value.ndim or 0 in strides:
        return value
    stored = torch.empty_strided(value.shape, strides, dtype=dtype, device=device)
    return stored.copy_(value)


@contextlib.contextmanager
def seeded() -> Iterator[None]:
    """Inside, random numbers may be seeded; after, they go on as if nothing had happened."""
    states = random_states()
    try:
        yield
    finally:
        set_random_states(states)


def seed_all(seed: int) -> None:
    """Seeds torch, NumPy and Python: loaders and augmentation may draw from any of them."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    random.seed(seed)


def random_states() -> dict[str, Any]:
    """Where torch, NumPy and Python stand in their sequences of random numbers."""
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002
    states: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "numpy": (kind, [int(key) for key in keys], *rest),
        "python": random.getstate(),
    }
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def set_random_states(states: dict[str, Any]) -> None:
    """Goes back to where `random_states` looked."""
    torch.set_rng_state(states["torch"])
    np.random.set_state(tuple(states["numpy"]))  # noqa: NPY002
    random.setstate(states["python"])
    if "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"])
