"""One quantized network run many times with other quantizers switched on or off.

What comes before the first switched quantizer gives the same in every run, so each run branches off
there: of a network with `n` layers, trying each alone costs about `n / 2` runs instead of `n`.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx import Node

from lilliput.quantize.beside.lockstep import weighted
from lilliput.quantize.beside.replay import float_beside, last_uses
from lilliput.quantize.numbers.fake import quantizers
from lilliput.quantize.placing.sites import quantizer_at

__all__ = ["Branches"]


class Branches(fx.Interpreter):
    """Runs a captured network with quantizers; changes nothing in it.

    Args:
        module: Its quantizers act. Where a pass changed a weight and kept the float one beside
            it, the float one counts while the weight's quantizer is off.
    """

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.extra_traceback = False
        self.whole = module.eval()
        self.nodes = tuple(module.graph.nodes)
        self.all = frozenset(quantizers(module))
        self.acting = self.all
        self._gone = last_uses(module.graph)
        self._of_weight = _changed(module)
        self._rounded: dict[Node, Tensor] = {}

    def outputs(
        self, inputs: tuple[Tensor, ...], flips: Sequence[frozenset[str]], is_quantized: bool
    ) -> Iterator[tuple[int, Any]]:
        """Gives what the network says with each set of flips, and at the end, at -1, as it is.

        Args:
            inputs: A batch.
            flips: Names of quantizers that act where others do not, or the reverse.
            is_quantized: Whether all others act.
        """
        usual = self.all if is_quantized else frozenset()
        starts: dict[int, list[int]] = {}
        for index, names in enumerate(flips):
            starts.setdefault(self._start(names), []).append(index)
        values = dict(zip((n for n in self.nodes if n.op == "placeholder"), inputs, strict=True))
        for place, node in enumerate(self.nodes):
            for index in starts.get(place, ()):
                yield index, self._rest(place, dict(values), usual ^ flips[index])
            self.acting = usual
            self._step(node, values)
        yield -1, self._result(values)

    def _start(self, names: frozenset[str]) -> int:
        """Where the first of the quantizers has an effect."""
        return next(
            place
            for place, node in enumerate(self.nodes)
            if str(node.target) in names or self._of_weight.get(node) in names
        )

    def _rest(self, place: int, values: dict[Node, Any], acting: frozenset[str]) -> Any:
        self.acting = acting
        for node in self.nodes[place:]:
            self._step(node, values)
        return self._result(values)

    def _result(self, values: dict[Node, Any]) -> Any:
        """What the network's `forward` would give."""
        return self.whole.graph.process_outputs(values[self.nodes[-1]])

    def _step(self, node: Node, values: dict[Node, Any]) -> None:
        if node not in values:
            self.env = values
            with torch.no_grad():
                values[node] = self.run_node(node)
        for done in self._gone.get(node, ()):
            if done.op != "output":
                values.pop(done, None)

    def run_node(self, n: Node) -> Any:
        source = n.args[0] if n.args else None
        is_off = str(n.target) not in self.acting and quantizer_at(self.whole, n) is not None
        if is_off and isinstance(source, Node):
            return self.env[source]
        if n in self._of_weight and self._of_weight[n] not in self.acting:
            return float_beside(self.whole, str(n.target))
        if "is_weight" not in n.meta or n.op != "call_module":
            return super().run_node(n)
        if n not in self._rounded:  # the same in every run
            self._rounded[n] = super().run_node(n)
        return self._rounded[n]


def _changed(module: fx.GraphModule) -> dict[Node, str]:
    """Weights and biases that a pass changed, each with the quantizer of its layer's weight."""
    found: dict[Node, str] = {}
    for node, _ in weighted(module):
        weight = node.args[1]
        assert isinstance(weight, Node)  # noqa: S101
        for constant in (weight.args[0], *node.args[2:3]):
            if not isinstance(constant, Node) or constant.op != "get_attr":
                continue
            if float_beside(module, str(constant.target)) is not None:
                found[constant] = str(weight.target)
    return found
