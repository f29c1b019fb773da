"""A network whose weights are rounded to one step for each tensor, and what that does to it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from lilliput.core import IntegerType, Model, PassError, PerTensor, QuantizationRules
from lilliput.quantize.beside.distance import Distance
from lilliput.quantize.beside.replay import KEPT, floats_beside
from lilliput.quantize.beside.tails import tails
from lilliput.quantize.bits.precision import Precision
from lilliput.quantize.numbers.fake import FakeQuantize
from lilliput.quantize.placing.insert import insert
from lilliput.quantize.placing.open_layers import WITH_WEIGHT

__all__ = ["Seen", "Stepped", "Weight"]

_RULES = QuantizationRules(
    weight=IntegerType(16, granularity=PerTensor()),
    quantized_operators=WITH_WEIGHT | {"embedding"},
)
_SUFFIX = "_quantizer"

Batches = Sequence[tuple[Tensor, ...]]


@dataclass(frozen=True, eq=False)
class Weight:
    """A weight and what rounds it.

    Args:
        name: In the network.
        value: Its numbers, which may be changed in place.
        quantizer: Of 16 bits and one scale, the step.
    """

    name: str
    value: Tensor
    quantizer: FakeQuantize

    def set_step(self, step: float) -> None:
        """Rounds to multiples of a step from now on."""
        self.quantizer.scale.fill_(step)
        self.quantizer.zero_point.zero_()
        self.quantizer.is_enabled = True

    @property
    def step(self) -> float:
        return float(self.quantizer.scale)


@dataclass(frozen=True, eq=False)
class Seen:
    """Outputs of the float network.

    Args:
        batches: Inputs.
        wanted: What it gives for each batch.
        distance: Of outputs.
    """

    batches: Batches
    wanted: Sequence[Any]
    distance: Distance

    @property
    def count(self) -> int:
        """Examples."""
        return sum(len(inputs[0]) for inputs in self.batches)

    def distance_of(self, outputs: Sequence[Any]) -> float:
        """The mean over examples."""
        pairs = zip(outputs, self.wanted, strict=True)
        return float(torch.cat([self.distance(a, b).double() for a, b in pairs]).mean())


class Stepped:
    """A captured network, BatchNorm folded, and its weights; none is rounded at first.

    Args:
        model: It is not changed.

    Raises:
        UnsupportedError: It has no weights to round.
        TraceError: It cannot be traced.
        PassError: A weight is NaN or infinite.
    """

    def __init__(self, model: Model) -> None:
        self.model = insert(model, _RULES, Precision(), scheme="weights").model
        module = self.model.module
        assert isinstance(module, fx.GraphModule)  # noqa: S101
        self.module = module.eval()
        self.weights = list(self._weights())

    def _weights(self) -> Iterator[Weight]:
        for name, part in self.module.named_modules():
            if not isinstance(part, FakeQuantize):
                continue
            own = name.removesuffix(_SUFFIX)
            value = self.module.get_parameter(own).detach()
            if not value.isfinite().all():
                raise PassError(f"the weight {own!r} is NaN or infinite")
            yield Weight(own, value, part)

    def set_steps(self, steps: Mapping[str, float]) -> None:
        """Rounds every weight to its step."""
        for weight in self.weights:
            weight.set_step(steps[weight.name])

    @contextmanager
    def alone(self, weight: Weight, step: float) -> Iterator[None]:
        """Inside, that weight has another step."""
        quantizer = weight.quantizer
        before, acted = weight.step, quantizer.is_enabled
        weight.set_step(step)
        try:
            yield
        finally:
            quantizer.scale.fill_(before)
            quantizer.is_enabled = acted

    @torch.no_grad()
    def outputs(self, batches: Batches) -> list[Any]:
        """What the network gives for each batch."""
        return [self.module(*inputs) for inputs in batches]

    def distance(self, seen: Seen) -> float:
        """How far outputs are from the float network's: the mean over examples."""
        return seen.distance_of(self.outputs(seen.batches))

    def one_by_one(self, seen: Seen) -> Iterator[tuple[Weight, Callable[[float], float]]]:
        """Gives each weight that the network reads, with the distance as a function of its step."""
        named = {weight.name: weight for weight in self.weights}
        for name, rest in tails(self.module, seen.batches, list(named)):

            def distance_at(
                step: float, weight: Weight = named[name], rest: Callable[[], list[Any]] = rest
            ) -> float:
                with self.alone(weight, step):
                    return seen.distance_of(rest())

            yield named[name], distance_at

    @torch.no_grad()
    def restore(self) -> None:
        """Gives weights and biases their float values again; none is rounded."""
        for holder, name, value in floats_beside(self.module):
            getattr(holder, name).copy_(value)
        for weight in self.weights:
            weight.quantizer.is_enabled = False

    @torch.no_grad()
    def settled(self) -> Model:
        """The model with plain weights, each a multiple of its step; quantizers are gone."""
        for weight in self.weights:
            # a copy of a network has parameters of its own
            value = self.module.get_parameter(weight.name)
            value.copy_(weight.quantizer(value))
        graph = self.module.graph
        for node in list(graph.nodes):
            is_call = node.op == "call_module"
            if is_call and isinstance(self.module.get_submodule(str(node.target)), FakeQuantize):
                node.replace_all_uses_with(node.all_input_nodes[0])
                graph.erase_node(node)
        for weight in self.weights:
            self.module.delete_submodule(weight.name + _SUFFIX)
        for holder, name, _ in list(floats_beside(self.module)):
            delattr(holder, name + KEPT)
        self.module.recompile()
        return self.model
