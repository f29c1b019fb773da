"""Networks to prune: one for each structure that makes channels hard to follow, and two whole ones.

Weights are random, from a fixed seed: what counts is whether pruning is right.
"""

import importlib.util
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor, nn

__all__ = ["NETWORKS", "Built"]

Built = tuple[nn.Module, tuple[Tensor, ...]]


def _structures() -> ModuleType:
    """`tests/graph/structures.py` as a module."""
    path = Path(__file__).parent.parent / "tests/graph/structures.py"
    spec = importlib.util.spec_from_file_location("structures", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_STRUCTURES = _structures()


def _lite0() -> Built:
    from efficientnet_lite_pytorch import EfficientNet

    torch.manual_seed(0)
    return _STRUCTURES.settle(EfficientNet.from_name("efficientnet-lite0")), _image(224)


def _minilm() -> Built:
    from minilm import TOKENS, MiniLM

    torch.manual_seed(0)
    net = MiniLM().eval()
    tokens, mask = torch.randint(1000, (2, TOKENS)), torch.ones(2, TOKENS, dtype=torch.long)
    mask[0, 40:] = 0
    return net, (tokens, mask)


def _image(size: int) -> tuple[Tensor, ...]:
    return (torch.randn(2, 3, size, size),)


NETWORKS: dict[str, Callable[[], Built]] = {
    **{name: partial(_STRUCTURES.build, name) for name in _STRUCTURES.STRUCTURES},
    "EfficientNet-Lite0": _lite0,
    "MiniLM-L6": _minilm,
}
