"""Multiply-accumulates of one operator, from the shapes that go in and out.

The shapes are those of the traced batch. What only adds, compares or moves counts nothing, as is
usual; so does a bias.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch.fx import Node

from lilliput.graph.graph import operator_of, shape_of

__all__ = ["macs_of"]


def macs_of(node: Node) -> int:
    """Multiply-accumulates of a call for the whole traced batch."""
    rule = _RULES.get(operator_of(node))
    return rule(node) if rule else 0


def _shape(argument: Any) -> tuple[int, ...]:
    return shape_of(argument) if isinstance(argument, Node) else ()


def _convolution(node: Node) -> int:
    """Every output is a sum over one group's input channels and the kernel."""
    return math.prod(shape_of(node)) * math.prod(_shape(node.args[1])[1:])


def _transposed(node: Node) -> int:
    """Every input is multiplied into one group's output channels and the kernel."""
    return math.prod(_shape(node.args[0])) * math.prod(_shape(node.args[1])[1:])


def _general_convolution(node: Node) -> int:
    return _transposed(node) if node.args[6] is True else _convolution(node)


def _product(first: int) -> Callable[[Node], int]:
    """A matrix product whose left factor is argument `first`."""

    def macs(node: Node) -> int:
        return math.prod(shape_of(node)) * _shape(node.args[first])[-1]

    return macs


def _summed_product(node: Node) -> int:
    """`addbmm` adds up the products of a batch."""
    return math.prod(_shape(node.args[1])) * _shape(node.args[2])[-1]


def _attention(node: Node) -> int:
    """Queries with keys, and weights with values; a mask saves nothing."""
    query, key, out = _shape(node.args[0]), _shape(node.args[1]), shape_of(node)
    scores = math.prod(query[:-1]) * key[-2]
    return scores * (query[-1] + out[-1])


def _recurrent(node: Node) -> int:
    """Every matrix is multiplied once for each step of each sequence.

    The arguments are the input, the first state, and all parameters.
    """
    positions = math.prod(_shape(node.args[0])[:-1])
    parameters: Sequence[Any] = node.args[2]  # type: ignore[assignment]
    return positions * sum(math.prod(_shape(p)) for p in parameters if len(_shape(p)) == 2)


def _einsum(node: Node) -> int:
    """Contracts from left to right; each step multiplies over all indices of its two factors."""
    equation: str = node.args[0]  # type: ignore[assignment]
    operands: Sequence[Any] = node.args[1]  # type: ignore[assignment]
    terms = equation.replace(" ", "").partition("->")[0].split(",")
    indexed = [_indices(term, _shape(x)) for term, x in zip(terms, operands, strict=True)]
    kept = equation.partition("->")[2]
    sizes: dict[str, int] = defaultdict(lambda: 1)
    for factor in indexed:
        for index, size in factor.items():
            sizes[index] = max(sizes[index], size)  # a size of 1 is broadcast
    done, total = set(indexed[0]), 0
    for step, factor in enumerate(indexed[1:], 1):
        both = done | set(factor)
        total += math.prod(sizes[index] for index in both)
        later = {index for rest in indexed[step + 1 :] for index in rest}
        done = {index for index in both if index in later or index in kept or len(index) > 1}
    return total


def _indices(term: str, shape: tuple[int, ...]) -> Mapping[str, int]:
    """Sizes by index letter; the axes of an ellipsis are called by their place from its end."""
    before, dots, after = term.partition("...")
    hidden = len(shape) - len(before) - len(after) if dots else 0
    names = [*before, *(f"..{place}" for place in range(hidden, 0, -1)), *after]
    return dict(zip(names, shape, strict=True))


_RULES: Mapping[str, Callable[[Node], int]] = {
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _convolution),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), _transposed),
    "convolution": _general_convolution,
    **dict.fromkeys(("linear", "matmul", "mm", "bmm", "mv", "dot"), _product(0)),
    **dict.fromkeys(("addmm", "baddbmm", "addmv"), _product(1)),
    "addbmm": _summed_product,
    "scaled_dot_product_attention": _attention,
    **dict.fromkeys(("lstm", "gru", "rnn_tanh", "rnn_relu"), _recurrent),
    "einsum": _einsum,
}
