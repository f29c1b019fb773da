"""A network as its executed operators, each with the module it came from."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.export import ExportedProgram
from torch.fx import Node

from lilliput.core import Model

__all__ = ["Graph", "known_size", "operator_of", "owner_of", "shape_of"]


def operator_of(node: Node) -> str:
    """The operator's packet name, `conv2d` for `aten.conv2d.default`; "" if it is no call."""
    if node.op != "call_function":
        return ""
    packet = getattr(node.target, "overloadpacket", node.target)
    return str(getattr(packet, "__name__", packet)).rsplit(".", 1)[-1]


def owner_of(node: Node) -> str:
    """Qualified name of the innermost module that ran the node; "" for the network itself."""
    stack = node.meta.get("nn_module_stack") or {}
    # a module called a second time is listed as "name@1"
    return next(reversed(stack.values()))[0].split("@")[0] if stack else ""


def shape_of(node: Node) -> tuple[int, ...]:
    """Sizes of a node's tensor, a symbolic batch counted as the example's."""
    value = node.meta.get("val")
    if not isinstance(value, torch.Tensor):
        return ()
    return tuple(known_size(size) for size in value.shape)


def known_size(size: Any) -> int:
    """A size as a number, a symbolic one as it was in the traced example."""
    return int(size) if isinstance(size, int) else int(size.node.hint)


@dataclass(frozen=True, eq=False)
class Graph:
    """What `trace` gives: read only.

    Args:
        model: The model it was traced from.
        program: The exported program, in ATen operators as the network calls them.
        batch: Number of examples in the traced inputs.
        has_dynamic_batch: Whether the program takes any number of examples.
    """

    model: Model
    program: ExportedProgram
    batch: int
    has_dynamic_batch: bool

    @property
    def nodes(self) -> Iterator[Node]:
        """Calls, in the order they run."""
        return (node for node in self.program.graph.nodes if node.op == "call_function")

    @property
    def tensor_names(self) -> dict[str, str]:
        """Parameter or buffer behind each placeholder, by the placeholder's name."""
        signature = self.program.graph_signature
        return {
            **signature.inputs_to_parameters,
            **signature.inputs_to_buffers,
            **signature.inputs_to_lifted_tensor_constants,
        }

    def layer(self, node: Node) -> nn.Module | None:
        """The module that made the node, if the network has one of that name."""
        name = owner_of(node)
        modules = dict(self.model.module.named_modules())
        return modules.get(name)
