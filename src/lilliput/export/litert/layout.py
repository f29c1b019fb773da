"""Padding in the layout that a LiteRT file's convolutions read."""

import copy
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from lilliput.export.format import Array
from lilliput.export.litert.file import constant, kinds

__all__ = ["pad_as_it_lies"]


def pad_as_it_lies(file: Any) -> None:
    """Pads a tensor as it lies, where it is turned before padding and turned back after it.

    The converter leaves padding in the layout of the network, channels first; each turn reads and
    writes the whole tensor. The numbers stay the same.

    Args:
        file: `ModelT` objects; changed in place.
    """
    for graph in file.subgraphs:
        named = dict(zip(map(id, graph.operators), kinds(file, graph), strict=True))
        makers = {int(out): op for op in graph.operators for out in op.outputs}
        reads = Counter(int(index) for op in graph.operators for index in op.inputs)
        reads.update(int(index) for index in graph.outputs)
        gone: set[int] = set()
        for last in graph.operators:
            pad = _maker(makers, last) if named[id(last)] == "TRANSPOSE" else None
            first = _maker(makers, pad) if pad is not None and named[id(pad)] == "PAD" else None
            if pad is None or first is None or named[id(first)] != "TRANSPOSE":
                continue
            order, back = (_integers(file, graph, op.inputs[1]) for op in (first, last))
            ends = _integers(file, graph, pad.inputs[1])
            is_alone = all(reads[int(op.outputs[0])] == 1 for op in (first, pad))
            if is_alone and ends.size and _undoes(back, order):
                turned = np.empty_like(ends)
                turned[order] = ends
                pad.inputs = [int(first.inputs[0]), _add(file, graph, pad.inputs[1], turned)]
                pad.outputs = list(last.outputs)
                gone |= {id(first), id(last)}
        graph.operators = [op for op in graph.operators if id(op) not in gone]


def _maker(makers: Mapping[int, Any], operator: Any) -> Any:
    """The operator that makes an operator's first input; None for inputs of the graph."""
    return makers.get(int(operator.inputs[0]))


def _undoes(back: Array, order: Array) -> bool:
    """Whether one turn of axes brings them back to where they were before the other."""
    return bool(order.size) and np.array_equal(order[back], np.arange(len(order)))


def _integers(file: Any, graph: Any, index: Any) -> Array:
    """A constant of 32-bit integers; empty for what is computed."""
    tensor = graph.tensors[int(index)]
    return constant(file, tensor).view(np.int32).reshape([int(size) for size in tensor.shape])


def _add(file: Any, graph: Any, like: Any, values: Array) -> int:
    """The index of a new constant of the shape of another."""
    buffer = copy.copy(file.buffers[0])
    buffer.data = np.ascontiguousarray(values).view(np.uint8).reshape(-1)
    file.buffers.append(buffer)
    tensor = copy.copy(graph.tensors[int(like)])
    tensor.buffer = len(file.buffers) - 1
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1
