"""Constants of an `onnx_ir` graph: read, and added."""

from itertools import count
from typing import Any

__all__ = ["add_constant", "constant_of"]


def constant_of(value: Any) -> Any:
    """The array that a value always is; None for what is computed or left out."""
    if value is None or value.const_value is None:
        return None
    return value.const_value.numpy()


def add_constant(graph: Any, array: Any) -> Any:
    """A new value of the graph, under a name that is free."""
    import onnx_ir as ir

    names = (f"lilliput.{index}" for index in count(len(graph.initializers)))
    name = next(name for name in names if name not in graph.initializers)
    value = ir.Value(name=name, const_value=ir.tensor(array, name=name))
    graph.register_initializer(value)
    return value
