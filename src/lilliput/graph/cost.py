"""What each layer costs: parameters, multiply-accumulates, bytes."""

import math
from dataclasses import dataclass

import torch
from torch.fx import Node

from lilliput.graph.graph import Graph, operator_of, owner_of, shape_of

__all__ = ["LayerCost", "cost"]


@dataclass(frozen=True)
class LayerCost:
    """One operator's cost for one example.

    Args:
        name: The module that runs it, and the operator where a module runs several.
        operator: ATen packet name.
        parameters: Counted at their first use.
        macs: Multiply-accumulates; 0 for elementwise operators and data movement.
        weight_bytes: Of its parameters and buffers, at their first use.
        moved_bytes: Inputs, weights and output, each read or written once.
    """

    name: str
    operator: str
    parameters: int
    macs: int
    weight_bytes: int
    moved_bytes: int


def cost(graph: Graph) -> tuple[LayerCost, ...]:
    """Gives the cost of every operator that holds parameters or multiplies, in running order."""
    weights = graph.tensor_names
    trainable = {name for name, _ in graph.model.module.named_parameters(remove_duplicate=False)}
    seen: set[str] = set()
    rows = []
    for node in graph.nodes:
        own = [source for source in node.all_input_nodes if source.name in weights]
        fresh = [source for source in own if weights[source.name] not in seen]
        seen |= {weights[source.name] for source in fresh}
        macs = _macs(node) // graph.batch
        if not own and not macs:
            continue
        activations = [source for source in node.all_input_nodes if source not in own]
        moved = sum(map(_bytes, [*activations, node])) // graph.batch + sum(map(_bytes, own))
        parameters = [source for source in fresh if weights[source.name] in trainable]
        rows.append(
            LayerCost(
                name=owner_of(node) or node.name,
                operator=operator_of(node),
                parameters=sum(math.prod(shape_of(source)) for source in parameters),
                macs=macs,
                weight_bytes=sum(map(_bytes, fresh)),
                moved_bytes=moved,
            )
        )
    return tuple(rows)


def _bytes(node: Node) -> int:
    value = node.meta.get("val")
    if not isinstance(value, torch.Tensor):
        return 0
    return math.prod(shape_of(node)) * value.element_size()


def _macs(node: Node) -> int:
    kind, out = operator_of(node), shape_of(node)
    inputs = [shape_of(source) for source in node.all_input_nodes]
    if kind.startswith("conv_transpose"):
        return math.prod(inputs[0]) * math.prod(inputs[1][1:])
    if kind.startswith("conv"):
        return math.prod(out) * math.prod(inputs[1][1:])
    if kind in {"linear", "matmul", "mm", "bmm", "baddbmm"}:
        left = inputs[1] if kind == "baddbmm" else inputs[0]
        return math.prod(out) * left[-1]
    if kind == "addmm":
        return math.prod(out) * inputs[1][-1]
    if kind == "scaled_dot_product_attention":
        query, key = shape_of(node.args[0]), shape_of(node.args[1])  # type: ignore[arg-type]
        scores = math.prod(query[:-1]) * key[-2]
        return scores * query[-1] + scores * out[-1]
    return 0
