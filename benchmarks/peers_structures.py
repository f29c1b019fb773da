"""Torch-Pruning on every structure; `prune_structures.py` runs it where Torch-Pruning is installed.

    python benchmarks/peers_structures.py OUTPUT.json SITE_PACKAGES

As its guide says: the layers that make outputs are left alone, and attention is told its heads.
Modules that only building the networks needs are read from SITE_PACKAGES.
"""

import copy
import json
import sys
from collections.abc import Callable
from pathlib import Path

import torch
import torch_pruning as tp
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

RATIO = 0.5
_MAKERS = nn.Linear | nn.Conv1d | nn.Conv2d | nn.ConvTranspose2d


def makers_of_outputs(net: nn.Module, inputs: tuple[Tensor, ...]) -> list[nn.Module]:
    """Layers whose output the network gives out; of MiniLM, the last that writes its stream."""
    made: dict[int, nn.Module] = {}
    handles = []
    kept = []

    def note(layer: nn.Module, _: object, output: Tensor) -> None:
        made[id(output)] = layer
        kept.append(output)

    for layer in net.modules():
        if isinstance(layer, _MAKERS):
            handles.append(layer.register_forward_hook(note))  # noqa: PERF401
    with torch.no_grad():
        outputs = tree_leaves(net(*inputs))
    for handle in handles:
        handle.remove()
    makers = [made[id(output)] for output in outputs if id(output) in made]
    return makers or [layer for name, layer in net.named_modules() if name.endswith(".5.down")]


def heads_of(net: nn.Module) -> dict[nn.Module, int]:
    """The heads of MiniLM's attention."""
    names = ("query", "key", "value")
    return {layer: 12 for name, layer in net.named_modules() if name.rpartition(".")[2] in names}


class Twin:
    """The whole network, in which the channels that go are set to zero where they are made."""

    def __init__(self, net: nn.Module) -> None:
        self.net = copy.deepcopy(net)
        self.names = {id(m): name for name, m in net.named_modules()}
        self.parameters = {id(p): name for name, p in net.named_parameters()}
        self.left: dict[tuple[str, int], list[int]] = {}

    @torch.no_grad()
    def silence(self, group: tp.dependency.Group) -> None:
        """What a group takes away; its indices count what is left by then."""
        for dependency, indices in group:
            target = dependency.target.module
            if "out_channels" not in dependency.handler.__name__ or id(target) not in self.names:
                continue
            layer = self.net.get_submodule(self.names[id(target)])
            weight = getattr(layer, "weight", None)
            if weight is None:
                continue
            axis = 1 if isinstance(layer, nn.ConvTranspose2d | nn.Embedding) else 0
            size = weight.shape[axis]
            left = self.left.setdefault((self.names[id(target)], size), list(range(size)))
            gone = [left[i] for i in sorted(set(indices)) if i < len(left)]
            self.left[self.names[id(target)], size] = [i for i in left if i not in set(gone)]
            weight.index_fill_(axis, torch.tensor(gone), 0.0)
            if getattr(layer, "bias", None) is not None:
                layer.bias[gone] = 0


def halve(
    net: nn.Module, inputs: tuple[Tensor, ...], watch: Callable[[tp.dependency.Group], None]
) -> None:
    """Prunes half of every width, one group after another, each shown before it goes."""
    pruner = tp.pruner.BasePruner(
        net,
        inputs if len(inputs) > 1 else inputs[0],
        importance=tp.importance.GroupMagnitudeImportance(p=2),
        pruning_ratio=RATIO,
        ignored_layers=makers_of_outputs(net, inputs),
        num_heads=heads_of(net),
    )
    for group in pruner.step(interactive=True):
        watch(group)
        group.prune()


def verdict(build: Callable[[], tuple[nn.Module, tuple[Tensor, ...]]]) -> tuple[str, float]:
    """What became of a network, and the share of its parameters that are left."""
    try:
        halve(*build(), lambda _: None)
    except Exception as error:  # noqa: BLE001 - whatever it raises is the result
        print(f"  raises {type(error).__name__}: {str(error)[:120]}")
        return "raises", 1.0
    net, inputs = build()
    whole = sum(p.numel() for p in net.parameters())
    twin = Twin(net)
    expected_shapes = [y.shape for y in tree_leaves(net(*inputs))]
    halve(net, inputs, twin.silence)
    left = sum(p.numel() for p in net.parameters()) / whole
    if left == 1:
        return "removes nothing", left
    net.eval()
    outputs = _attempt(lambda: tree_leaves(net(*inputs)))
    if outputs is None:
        return "does not run", left
    if [y.shape for y in outputs] != expected_shapes:
        return "wrong", left
    pairs = list(zip(outputs, tree_leaves(twin.net(*inputs)), strict=True))
    for a, b in pairs:
        print(f"  differs by {float((a - b).abs().max()):.2g} of {float(b.abs().max()):.2g}")
    same = all(torch.allclose(a, b, rtol=1e-3, atol=1e-4 * float(b.abs().max())) for a, b in pairs)
    return ("right" if same else "wrong"), left


def _attempt(run: Callable[[], list]) -> list | None:
    try:
        with torch.no_grad():
            return run()
    except Exception as error:  # noqa: BLE001 - whatever the pruned network raises is the result
        print(f"  does not run: {str(error)[:120]}")
        return None


def main(path: str, packages: str) -> None:
    """Prunes every network and writes the verdicts."""
    sys.path.append(packages)
    from structure_nets import NETWORKS

    found = {}
    for name, build in NETWORKS.items():
        print(name)
        found[name] = verdict(build)
        print("  ", found[name], flush=True)
    Path(path).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
