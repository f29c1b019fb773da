"""Train and eval mode, attention without its shortcut, and the way back."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

__all__ = ["in_eval_mode", "with_plain_attention"]


@contextmanager
def in_eval_mode(module: nn.Module) -> Iterator[None]:
    """Inside, every part is in eval mode; after, each in the mode it was in before."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, is_training in modes:
            part.training = is_training


@contextmanager
def with_plain_attention() -> Iterator[None]:
    """Inside, attention calls its layers: its inference fast path would hide their operators."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
