"""What each layer's weight becomes at fewer bits, while all other layers stay float."""

import contextlib
import copy
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, fx
from torch.fx import Node

from lilliput.core.progress import track
from lilliput.quantize.beside.lockstep import Place
from lilliput.quantize.numbers.fake import FakeQuantize
from lilliput.quantize.placing.insert import Inserted, layer_of
from lilliput.quantize.ranges.observe import MeanSquaredError, weight_range
from lilliput.quantize.rounding.gram import gram_of, is_linear
from lilliput.quantize.rounding.least_squares import LeastSquares
from lilliput.quantize.rounding.second_order import rounded

__all__ = ["Lowered", "Walk", "lower_weights", "parameters_of"]

_DAMPING, _SWEEPS = 0.01, 3
_OBSERVER = MeanSquaredError()

Batches = Sequence[tuple[Tensor, ...]]


@dataclass(frozen=True, eq=False)
class Lowered:
    """A layer's parameters at fewer bits.

    Args:
        weight: On the grid of its bits.
        bias: The one that suits it; None where the layer has none.
    """

    weight: Float[Tensor, "..."]
    bias: Float[Tensor, " out"] | None

    @contextlib.contextmanager
    def put(self, module: fx.GraphModule, node: Node) -> Iterator[None]:
        """Stands in the operator's place inside a `with`."""
        weight, bias = parameters_of(module, node)
        kept = Lowered(weight.clone(), None if bias is None else bias.clone())
        _copy(self, weight, bias)
        yield
        _copy(kept, weight, bias)


def _copy(source: Lowered, weight: Tensor, bias: Tensor | None) -> None:
    weight.copy_(source.weight)
    if bias is not None and source.bias is not None:
        bias.copy_(source.bias)


class Walk:
    """A network with quantizers that do not act, run operator after operator for all batches.

    Args:
        module: The network.
        batches: Inputs of each batch.
    """

    def __init__(self, module: fx.GraphModule, batches: Batches) -> None:
        self.module, self.batches = module.eval(), batches
        self.nodes = list(module.graph.nodes)
        self._runner = fx.Interpreter(module)
        self._runner.extra_traceback = False
        # what follows from parameters alone is read anew, since they change on the way
        self._constants = {n for n in self.nodes if n.op == "get_attr" or "is_weight" in n.meta}

    @torch.no_grad()
    def before(self, stops: Sequence[Node]) -> Iterator[tuple[Node, list[dict[Node, Any]]]]:
        """Gives each of the nodes before it runs, and what was computed so far for each batch."""
        states: list[dict[Node, Any]] = [{} for _ in self.batches]
        inputs = [node for node in self.nodes if node.op == "placeholder"]
        for state, batch in zip(states, self.batches, strict=True):
            state.update(zip(inputs, batch, strict=False))
        for node in self.nodes:
            if node in stops:
                yield node, states
            if node.op in {"placeholder", "output"}:
                continue
            for state in states:
                self._runner.env = state
                state[node] = self._runner.run_node(node)
                for done in self._runner.user_to_last_uses.get(node, ()):
                    if done not in self._constants:
                        state[done] = None

    def rest(self, state: dict[Node, Any]) -> Any:
        """What the network gives, from what was computed so far, with its parameters of now."""
        known = {node: value for node, value in state.items() if node not in self._constants}
        return self._runner.run(initial_env=known)


def lower_weights(
    inserted: Inserted, batches: Batches, bits: Sequence[int]
) -> dict[str, dict[int, Lowered]]:
    """Rounds each layer's weight to each width, by what the layer reads in the float network.

    Transposed convolutions, and layers that run more than once, are rounded to the nearest.

    Args:
        inserted: A network whose quantizers do not act; it is not changed.
        batches: Inputs.
        bits: Widths.
    """
    module = inserted.model.module
    assert isinstance(module, fx.GraphModule)  # noqa: S101
    runs = Counter(layer_of(node) for node in inserted.operators)
    found: dict[str, dict[int, Lowered]] = {}
    walk = Walk(module, batches).before(inserted.operators)
    for node, states in track(walk, "round each layer", len(inserted.operators)):
        layer = layer_of(node)
        if layer not in found:
            source = node.args[0]
            assert isinstance(source, Node)  # noqa: S101
            place = _place(module, node, [state[source] for state in states])
            once = runs[layer] == 1
            found[layer] = _at_each(place, bits, looks=once and is_linear(place))
    return found


def _at_each(place: Place, bits: Sequence[int], looks: bool) -> dict[int, Lowered]:
    gram = gram_of(place, has_bias=place.bias is not None) if looks else None
    found = {}
    for width in bits:
        quantizer = copy.deepcopy(place.quantizer)
        quantizer.type = replace(quantizer.type, bits=width)
        rows = quantizer.rows(place.weight)
        quantizer.set_range(*weight_range(rows, quantizer.type, _OBSERVER))
        lowered = quantizer(place.weight), place.bias
        if gram is not None:
            problem = LeastSquares.of(replace(place, quantizer=quantizer), _DAMPING, gram)
            on_grid = rounded(problem, _SWEEPS)
            lowered = on_grid.reshape_as(place.weight).to(place.weight), problem.bias(on_grid)
        found[width] = Lowered(*lowered)
    return found


def parameters_of(module: fx.GraphModule, node: Node) -> tuple[Tensor, Tensor | None]:
    """The weight and the bias of an operator, as they stand in the network."""
    call = node.args[1]
    assert isinstance(call, Node)  # noqa: S101
    weight = _tensor(module, call.args[0])
    assert weight is not None  # noqa: S101
    return weight, _tensor(module, node.args[2] if len(node.args) > 2 else None)


def _tensor(module: fx.GraphModule, node: Any) -> Tensor | None:
    if not isinstance(node, Node) or node.op != "get_attr":
        return None
    owner, _, leaf = str(node.target).rpartition(".")
    value: Tensor = getattr(module.get_submodule(owner), leaf)
    return value.detach()


def _place(module: fx.GraphModule, node: Node, read: list[Tensor]) -> Place:
    call = node.args[1]
    assert isinstance(call, Node)  # noqa: S101
    quantizer = module.get_submodule(str(call.target))
    assert isinstance(quantizer, FakeQuantize)  # noqa: S101
    weight, bias = parameters_of(module, node)
    return Place(
        layer=layer_of(node),
        node=node,
        quantizer=quantizer,
        weight=weight,
        bias=bias,
        weight_float=weight,
        bias_float=bias,
        read=read,
        read_float=read,
    )
