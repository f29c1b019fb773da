"""How much the outputs mind an error at a place inside a network."""

import math
from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx import Node

from lilliput.core.progress import track
from lilliput.quantize.beside.as_float import as_float
from lilliput.quantize.beside.distance import Distance

__all__ = ["fisher_weights"]

_DRAWS = 4


def fisher_weights(
    module: fx.GraphModule,
    batches: Sequence[tuple[Tensor, ...]],
    places: Collection[Node],
    distance: Distance,
) -> dict[Node, Tensor]:
    """The diagonal of the Fisher matrix at each place, in the mean over examples.

    A small error `e` there moves the outputs by `E[e' F e]`; what is given is the diagonal of `F`,
    divided by its mean. It is drawn, not computed from labels. A place is left out where examples
    do not lie on the first axis, where the outputs do not depend on it, and where a derivative is
    infinite.

    Args:
        module: A captured network with quantizers; outside of this function it stays as it is.
        batches: Inputs of each batch.
        places: Nodes that give one tensor of floats.
        distance: Of the outputs.

    Returns:
        By place, a tensor of the shape that the place gives for one example.

    Source: Li et al. 2021, "BRECQ", section 3.2, eq. 9 and 10.
    """
    if not places:
        return {}
    tape = _Tape(module, places)
    draw = torch.Generator().manual_seed(0)
    sums: dict[Node, Tensor] = {}
    elsewhere: set[Node] = set()
    with as_float(module), torch.enable_grad():
        for batch in track(batches, "what the outputs mind"):
            outputs = tape.run(*batch)
            elsewhere |= {n for n in places if tape.probes[n].shape[:1] != (len(batch[0]),)}
            for _ in range(_DRAWS):
                scalar = distance.draw(outputs, draw)
                slopes = torch.autograd.grad(
                    scalar, [tape.probes[n] for n in places], retain_graph=True, allow_unused=True
                )
                for node, slope in zip(places, slopes, strict=True):
                    if slope is not None and node not in elsewhere:
                        sums[node] = slope.square().sum(0) + sums.get(node, 0)
    means = {node: float(total.mean()) for node, total in sums.items()}
    return {
        node: total / means[node]
        for node, total in sums.items()
        if node not in elsewhere and 0 < means[node] < math.inf
    }


class _Tape(fx.Interpreter):
    """Adds a zero at each place, by which outputs can be derived."""

    def __init__(self, module: fx.GraphModule, places: Collection[Node]) -> None:
        super().__init__(module)
        self.extra_traceback = False
        self.places = frozenset(places)
        self.probes: dict[Node, Tensor] = {}

    def run_node(self, n: Node) -> Any:
        result = super().run_node(n)
        if n not in self.places:
            return result
        self.probes[n] = torch.zeros_like(result, requires_grad=True)
        return result + self.probes[n]
