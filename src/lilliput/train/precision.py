"""Which number format a machine trains fastest in."""

from contextlib import AbstractContextManager
from typing import Literal

import torch

__all__ = ["Precision", "autocast", "resolve"]

Precision = Literal["auto", "bf16-mixed", "32-true"]


def resolve(precision: Precision, device: str) -> Precision:
    """Gives bf16 with float32 weights where the hardware multiplies bf16, else float32.

    On a CPU that is AMX or AVX512-bf16; without them bf16 is emulated and slower than float32.

    Args:
        precision: What was asked; anything but `auto` is taken as it is.
        device: A torch device type: `cpu`, `cuda`, `mps`.
    """
    if precision != "auto":
        return precision
    return "bf16-mixed" if _multiplies_bf16(device) else "32-true"


def autocast(precision: Precision, device: str) -> AbstractContextManager[None]:
    """The context in which a forward pass runs in the precision."""
    is_mixed = resolve(precision, device) == "bf16-mixed"
    return torch.autocast(device, dtype=torch.bfloat16, enabled=is_mixed)


def _multiplies_bf16(device: str) -> bool:
    if device == "cpu":
        abilities = torch.cpu.get_capabilities()
        return bool(abilities.get("avx512_bf16") or abilities.get("amx_bf16"))
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return False
