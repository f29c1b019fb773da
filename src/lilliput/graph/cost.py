"""What each operator costs: parameters, multiply-accumulates, bytes."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch.fx import Node

from lilliput.graph.graph import Graph, known_size, operator_of
from lilliput.graph.macs import macs_of
from lilliput.graph.names import layer_names
from lilliput.graph.storage import Storages, storages_of
from lilliput.graph.weights import weights_of

__all__ = ["LayerCost", "cost"]


@dataclass(frozen=True)
class LayerCost:
    """One operator's cost for one example.

    Args:
        name: The layer whose weights it uses, or the module that runs it and, where that runs
            several, the operator; unlike every other.
        operator: ATen packet name.
        parameters: Counted at their first use.
        macs: Multiply-accumulates; 0 for elementwise operators, pooling and data movement.
        weight_bytes: Of its parameters and buffers as they are stored, at their first use.
        moved_bytes: Inputs, weights and output, each read or written once.
    """

    name: str
    operator: str
    parameters: int
    macs: int
    weight_bytes: int
    moved_bytes: int


def cost(graph: Graph) -> tuple[LayerCost, ...]:
    """Gives what each operator costs, in running order.

    Left out are views, which move nothing, and what depends on no input, which is computed once.
    """
    weights = weights_of(graph)
    names = layer_names(graph, weights)
    storages = storages_of(graph)
    parameters = dict(graph.model.module.named_parameters(remove_duplicate=False))
    seen: set[str] = set()
    rows = []
    for node in graph.nodes:
        if node in weights.constants or not _is_work(node, storages):
            continue
        fresh = {name: n for name, n in weights.of(node).items() if name not in seen}
        seen |= fresh.keys()
        rows.append(
            LayerCost(
                name=names[node],
                operator=operator_of(node),
                parameters=sum(parameters[name].numel() for name in fresh if name in parameters),
                macs=macs_of(node) // graph.batch,
                weight_bytes=sum(fresh.values()),
                moved_bytes=_moved(node, weights.of(node), weights.constants, graph.batch),
            )
        )
    return tuple(rows)


def _is_work(node: Node, storages: Storages) -> bool:
    """Whether a call computes or moves anything: not a view, a size or an assertion."""
    schema = getattr(node.target, "_schema", None)
    if schema is not None and schema.is_mutable:
        return True
    given = {identity for source in node.all_input_nodes for identity in storages[source]}
    return any(identity not in given for identity in storages[node])


def _moved(
    node: Node, weights: dict[str, int], constants: dict[Node, dict[str, int]], batch: int
) -> int:
    activations = [n for n in node.all_input_nodes if n not in constants]
    passing = sum(_bytes(n) for n in [*activations, node]) // batch
    if operator_of(node) in {"embedding", "index_select"}:  # reads the rows it gives, no more
        return passing + min(sum(weights.values()), _bytes(node) // batch)
    fixed = sum(_bytes(n) for n in node.all_input_nodes if n in constants and not constants[n])
    return passing + sum(weights.values()) + fixed


def _tensors(node: Node) -> Iterator[torch.Tensor]:
    value = node.meta.get("val")
    values = value if isinstance(value, tuple | list) else (value,)
    return (x for x in values if isinstance(x, torch.Tensor))


def _bytes(node: Node) -> int:
    """Of the tensor a node gives, or of all where it gives several."""
    return sum(math.prod(map(known_size, x.shape)) * x.element_size() for x in _tensors(node))
