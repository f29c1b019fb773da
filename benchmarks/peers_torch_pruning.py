"""Torch-Pruning on ResNet-20; `peers.py` runs it where Torch-Pruning is installed.

    python benchmarks/peers_torch_pruning.py RESNET20.safetensors OUTPUT.safetensors

Only the inner channels of the blocks go: it follows zero padding of channels as if channels stayed
in place, so pruning the shortcut of these networks gives one that fails or is silently wrong.
"""

import importlib.util
import sys
from pathlib import Path

import torch
import torch_pruning as tp
from safetensors.torch import load_file, save_file
from torch import nn


def network() -> nn.Module:
    """ResNet-20 of `examples/cifar10.py`, without weights."""
    path = Path(__file__).parent.parent / "examples/cifar10.py"
    spec = importlib.util.spec_from_file_location("cifar10", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.ResNet(3)


def main(weights: str, path: str) -> None:
    """Halves the inner channels by the L2 norm of their groups, and saves what is left."""
    net = network()
    net.load_state_dict(load_file(weights), strict=False)
    net.eval()
    inner = {name for name, _ in net.named_modules() if name.endswith(".conv1")}
    layers = {n: m for n, m in net.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    pruner = tp.pruner.BasePruner(
        net,
        torch.zeros(1, 3, 32, 32),
        importance=tp.importance.GroupMagnitudeImportance(p=2),
        pruning_ratio=0.5,
        ignored_layers=[layer for name, layer in layers.items() if name not in inner],
    )
    pruner.step()
    save_file({name: value.contiguous() for name, value in net.state_dict().items()}, path)


if __name__ == "__main__":
    main(*sys.argv[1:])
