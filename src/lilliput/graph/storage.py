"""Which memory the tensors of a graph lie in: views and in-place operators share their input's."""

from collections.abc import Mapping

import torch
from torch.fx import Node

from lilliput.graph.graph import Graph, known_size, operator_of

__all__ = ["Storages", "storages_of"]

# these give back what they are given, which the traced tensors do not show: dropout in eval mode,
# and quantizers, whose integers are counted as the floats they stand for
_NOTHING = frozenset(
    {
        "dropout",
        "feature_dropout",
        "alpha_dropout",
        "quantize_per_tensor",
        "dequantize_per_tensor",
        "fake_quantize_per_tensor_affine",
        "fake_quantize_per_channel_affine",
    }
)

Storages = Mapping[Node, Mapping[int, int]]


def storages_of(graph: Graph) -> Storages:
    """Gives for each node the pieces of memory its tensors lie in: their bytes by their identity.

    The traced tensors hold no data, but share their memory as the real ones do.
    """
    found: dict[Node, Mapping[int, int]] = {}
    same: dict[int, int] = {}
    for node in graph.program.graph.nodes:
        own = _own(node)
        if operator_of(node) in _NOTHING:
            same.update(dict.fromkeys(own, next(iter(found[node.all_input_nodes[0]]))))
        found[node] = {same.get(identity, identity): size for identity, size in own.items()}
    return found


def _own(node: Node) -> dict[int, int]:
    value = node.meta.get("val")
    values = value if isinstance(value, tuple | list) else (value,)
    tensors = [x for x in values if isinstance(x, torch.Tensor)]
    return {x.untyped_storage()._cdata: _size(node, x) for x in tensors}  # noqa: SLF001


def _size(node: Node, x: torch.Tensor) -> int:
    # an example input is often a slice of a larger batch, which the network never sees
    is_input = node.op == "placeholder"
    return known_size(x.numel() * x.element_size() if is_input else x.untyped_storage().nbytes())
