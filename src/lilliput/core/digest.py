"""What tells one network, or one batch, from another: a digest of its tensors."""

import hashlib
from collections.abc import Iterable

import torch
from torch import Tensor

__all__ = ["digest_of"]


def digest_of(parts: Iterable[str | Tensor]) -> str:
    """The SHA-256, in hex, of texts and tensors in their order.

    Of a tensor count type, shape and values, wherever they are stored and however they lie there.
    """
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            text = part.encode()
            digest.update(f"text {len(text)} ".encode() + text)
        else:
            digest.update(f"{part.dtype} {tuple(part.shape)} ".encode())
            flat = part.detach().cpu().contiguous().reshape(-1)
            digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()
