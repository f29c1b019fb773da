"""The class instead of its score: where outputs are scores, C gives the place of the largest."""

from dataclasses import replace

import numpy as np

from lilliput.core import UnsupportedError
from lilliput.export.c.network import Network, Operator, Tensor
from lilliput.export.format import Array

__all__ = ["MOST_CLASSES", "largest_of", "with_largest"]

MOST_CLASSES = 128
"""As many places as one int8 can tell."""


def with_largest(network: Network) -> Network:
    """The network with the place of the largest score of each row as its outputs.

    A softmax at the end goes: it does not change which score is the largest.

    Raises:
        UnsupportedError: A row has more scores than a byte can tell apart, or only one.
    """
    tensors, operators = list(network.tensors), list(network.operators)
    outputs, place = [], len(operators)
    for index in network.outputs:
        scores = network.tensors[index]
        count = scores.shape[-1] if scores.shape else 1
        if not 2 <= count <= MOST_CLASSES:
            raise UnsupportedError(
                f"output {scores.name!r} has rows of {count}; the largest is told of 2 to "
                f"{MOST_CLASSES} scores, so leave this output as it is"
            )
        source = index
        maker = next((o for o in operators if index in o.outputs), None)
        readers = [o for o in operators if index in o.inputs]
        if maker is not None and maker.kind == "SOFTMAX" and not readers:
            if not float(maker.options.get("beta", 1.0)) > 0:
                raise UnsupportedError(f"{maker}: beta must be above 0 for the largest to be told")
            operators.remove(maker)
            source = maker.source()
        shape = (*scores.shape[:-1], 1)
        one = np.ones(1, np.float32)
        tensors.append(Tensor(f"{scores.name}, largest", shape, "int8", None, one, (0,)))
        outputs.append(len(tensors) - 1)
        operators.append(Operator(place, "LARGEST", (source,), (outputs[-1],), {}))
        place += 1
    return replace(
        network, tensors=tuple(tensors), operators=tuple(operators), outputs=tuple(outputs)
    )


def largest_of(scores: Array) -> tuple[Array, Array]:
    """The place of the largest along the last axis, which stays, and whether it is the only one."""
    most = scores.max(-1, keepdims=True)
    places = scores.argmax(-1, keepdims=True).astype(np.int8)
    return places, (scores == most).sum(-1, keepdims=True) == 1
