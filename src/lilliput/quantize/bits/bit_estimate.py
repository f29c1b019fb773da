"""The second-order estimate of what fewer bits cost: one run of each layer, not of the network."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx import Node

from lilliput.core.progress import track
from lilliput.graph import operator_of
from lilliput.quantize.beside.distance import Distance
from lilliput.quantize.bits.lowered import Lowered
from lilliput.quantize.placing.insert import Inserted, layer_of

__all__ = ["estimated"]

_DRAWS = 4


def estimated(
    inserted: Inserted,
    lowered: Mapping[str, Mapping[int, Lowered]],
    batches: Sequence[tuple[Tensor, ...]],
    distance: Distance,
) -> dict[str, dict[int, float]]:
    """Gives `E[(v'J e)^2]` by layer and bits: `e` is the error of the layer's own output.

    Args:
        inserted: A network whose quantizers do not act.
        lowered: Each layer's parameters at each width.
        batches: Inputs.
        distance: Of the outputs; it draws `v`.
    """
    tape = _Tape(inserted)
    draw = torch.Generator().manual_seed(0)
    squares = {layer: dict.fromkeys(own, 0.0) for layer, own in lowered.items()}
    examples = 0
    for batch in track(batches, "estimate of bit sensitivity"):
        examples += len(batch[0])
        tape.examples = len(batch[0])
        with torch.enable_grad():
            outputs = tape.run(*batch)
            scalars = [distance.draw(outputs, draw) for _ in range(_DRAWS)]
            slopes = [
                torch.autograd.grad(scalar, tape.results(), retain_graph=True, allow_unused=True)
                for scalar in scalars
            ]
        for layer, own in lowered.items():
            for width, parameters in own.items():
                squares[layer][width] += tape.squares(layer, parameters, slopes)
    return {
        layer: {width: total / (examples * _DRAWS) for width, total in own.items()}
        for layer, own in squares.items()
    }


class _Tape(fx.Interpreter):
    """Keeps what each operator with a weight reads and gives."""

    def __init__(self, inserted: Inserted) -> None:
        module = inserted.model.module
        assert isinstance(module, fx.GraphModule)  # noqa: S101
        super().__init__(module.eval().requires_grad_(True))
        self.extra_traceback = False
        self.operators = inserted.operators
        self.examples = 0
        self.kept: dict[Node, tuple[Tensor, Tensor]] = {}

    def run_node(self, n: Node) -> Any:
        source = self.env[n.args[0]] if n in self.operators else None  # type: ignore[index]
        result = super().run_node(n)
        if source is not None:
            self.kept[n] = source, result
        return result

    def results(self) -> list[Tensor]:
        return [self.kept[node][1] for node in self.operators]

    @torch.no_grad()
    def squares(
        self, layer: str, parameters: Lowered, slopes: Sequence[Sequence[Tensor | None]]
    ) -> float:
        """The sum over examples and draws of `(v'J e)^2`; `e` of all runs of a layer counts."""
        sums: list[Tensor] = [torch.zeros(1)] * len(slopes)
        for place, node in enumerate(self.operators):
            if layer_of(node) != layer:
                continue
            source, right = self.kept[node]
            assert callable(node.target)  # noqa: S101
            error = node.target(source, parameters.weight, parameters.bias, *node.args[3:]) - right
            # what is drawn for two examples has no covariance, so their sum does as well, with more
            # noise, where examples may lie on another axis than the first
            is_plain = operator_of(node) != "linear" or error.dim() == 2
            axes = 1 if is_plain and len(error) == self.examples else 0
            for index, slope in enumerate(slopes):
                if slope[place] is not None:
                    sums[index] = sums[index] + (slope[place] * error).flatten(axes).sum(axes)
        return sum(float(total.square().sum()) for total in sums)
