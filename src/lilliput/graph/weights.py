"""Which parameters and buffers an operator works with, through what is done to them on the way."""

import math
from dataclasses import dataclass

import torch
from torch.fx import Node

from lilliput.graph.graph import Graph, operator_of, shape_of
from lilliput.graph.masks import Mask

__all__ = ["Weights", "weights_of"]


@dataclass(frozen=True, eq=False)
class Weights:
    """What `weights_of` gives.

    Args:
        constants: Parameters, buffers, and what is computed from them alone, such as a masked or
            quantized weight. For each, the tensors it comes from with their bytes in the form in
            which they are stored: one byte an element where it is quantized to int8, and none of a
            mask, since only the zeros it makes are stored.
    """

    constants: dict[Node, dict[str, int]]

    def of(self, node: Node) -> dict[str, int]:
        """Tensors that go into a node, by name, with their bytes."""
        return {
            name: size
            for source in node.all_input_nodes
            for name, size in self.constants.get(source, {}).items()
        }


def weights_of(graph: Graph) -> Weights:
    """Finds what depends on no input of the network."""
    names = graph.tensor_names
    masks = {
        f"{name}.mask"
        for name, part in graph.model.module.named_modules()
        if isinstance(part, Mask)
    }
    constants: dict[Node, dict[str, int]] = {}
    for node in graph.program.graph.nodes:
        value = node.meta.get("val")
        if node.op == "placeholder" and node.name in names and isinstance(value, torch.Tensor):
            size = math.prod(shape_of(node)) * value.element_size()
            constants[node] = {names[node.name]: 0 if names[node.name] in masks else size}
        elif node.op == "call_function" and all(n in constants for n in node.all_input_nodes):
            sources = [item for n in node.all_input_nodes for item in constants[n].items()]
            constants[node] = {name: _stored(node, size) for name, size in sources}
    return Weights(constants)


def _stored(node: Node, size: int) -> int:
    """The bytes of a tensor, or of the smaller integers it was turned into."""
    value = node.meta.get("val")
    if not isinstance(value, torch.Tensor):
        return size
    if operator_of(node).startswith("fake_quantize"):  # a float on the grid of these integers
        low, high = node.args[-2:]
        bits = (int(str(high)) - int(str(low))).bit_length()
        return min(size, math.ceil(math.prod(shape_of(node)) * bits / 8))
    if value.dtype in (torch.int8, torch.uint8, torch.int16):
        return min(size, math.prod(shape_of(node)) * value.element_size())
    return size
