"""What to call an operator: by the layer whose weights it uses, or the module that runs it."""

from collections import Counter

from torch.fx import Node

from lilliput.graph.graph import Graph, operator_of, owner_of
from lilliput.graph.weights import Weights

__all__ = ["layer_names"]


def layer_names(graph: Graph, weights: Weights) -> dict[Node, str]:
    """A name of its own for each call that has activations, the same however it was captured.

    An operator with a weight is named after it (`layer1.0.conv1`); one without after the module
    that runs it, and where that module runs several, with the operator (`layer1.0.add`). The second
    call of a name is `NAME@1`, as `torch.export` has it.
    """
    parents = {name.rpartition(".")[0] for name, _ in graph.model.module.named_modules() if name}
    seen: Counter[str] = Counter()
    names = {}
    for node in graph.nodes:
        if node in weights.constants:
            continue
        owner = _owner(node)
        if weights.of(node):
            name = _holder(next(iter(weights.of(node)))) or operator_of(node)
        elif owner in parents or not owner:
            name = f"{owner}.{operator_of(node)}".lstrip(".")
        else:
            name = owner
        names[node] = f"{name}@{seen[name]}" if seen[name] else name
        seen[name] += 1
    return names


def _owner(node: Node) -> str:
    owner = owner_of(node)
    # torch calls the sizes it reads off tensors so
    return "" if owner.startswith("_empty_nn_module_stack") else owner


def _holder(tensor: str) -> str:
    """`conv1` of `conv1.weight`, `attention.in_proj` of `attention.in_proj_weight`."""
    if ".parametrizations." in tensor:
        return tensor.partition(".parametrizations.")[0]
    owner, _, leaf = tensor.rpartition(".")
    leaf = leaf.removesuffix("weight").rstrip("_")
    return f"{owner}.{leaf}".strip(".")
