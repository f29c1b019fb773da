"""A unit of layers whose rounding, biases and activations' steps are parameters for a while."""

from collections.abc import Collection, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, fx, nn
from torch.fx import Node

from lilliput.quantize.beside.replay import Replay, attribute_of, parameter_of
from lilliput.quantize.numbers.affine import dequantize, quantize
from lilliput.quantize.numbers.fake import FakeQuantize
from lilliput.quantize.numbers.learned import round_learned
from lilliput.quantize.rounding.soft_rounding import SoftRounding
from lilliput.quantize.rounding.units import Unit

__all__ = ["SoftUnit"]


class SoftUnit(nn.Module):
    """Runs the nodes of a unit; `commit` writes what was learned into the network.

    Args:
        module: The quantized network.
        unit: A part of it.
        layers: Those of the unit's layers that may change.
        learns_steps: Also the steps of activations, where no other part of the network shares the
            quantizer, and where steps are no powers of two.
    """

    def __init__(
        self, module: fx.GraphModule, unit: Unit, layers: Collection[Node], learns_steps: bool
    ) -> None:
        super().__init__()
        self.unit, self.is_soft = unit, True
        self._replay = Replay(module, [], is_float=False)
        self.weights = {node.args[1]: _Weight(module, node) for node in layers}
        found = [_Bias.of(module, node) for node in layers]
        self.biases = {bias.node: bias for bias in found if bias is not None}
        names = _own_quantizers(module, unit) if learns_steps else ()
        self.steps: dict[str, _Step] = {n: _Step(module.get_submodule(n)) for n in names}
        self._learned: list[_Learned] = [
            *self.weights.values(),
            *self.biases.values(),
            *self.steps.values(),
        ]
        self.roundings = nn.ModuleList(weight.rounding for weight in self.weights.values())
        self.offsets = nn.ParameterList(bias.offset for bias in self.biases.values())
        self.growths = nn.ParameterList(step.growth for step in self.steps.values())

    def forward(self, reads: Sequence[Tensor]) -> Tensor:
        """What the unit gives for what it reads."""
        values: dict[Node, Any] = dict(zip(self.unit.reads, reads, strict=True))

        def value(node: Node) -> Any:
            if node not in values:  # a constant
                values[node] = self._run(node, value)
            return values[node]

        for node in self.unit.nodes:
            values[node] = self._run(node, value)
        result: Tensor = values[self.unit.exit]
        return result

    def _run(self, node: Node, value: Any) -> Any:
        if self.is_soft and node in self.weights:
            return self.weights[node].real()
        if self.is_soft and node in self.biases:
            return self.biases[node].real()
        if self.is_soft and node.op == "call_module" and str(node.target) in self.steps:
            return self.steps[str(node.target)].rounded(value(node.args[0]))
        return self._replay.call(node, value)

    def penalty(self, power: float) -> Tensor:
        """The mean over all codes of what it costs to be between integers."""
        parts = [weight.rounding.penalty(power).flatten() for weight in self.weights.values()]
        return torch.cat(parts).mean()

    @torch.no_grad()
    def commit(self) -> None:
        """Writes rounded weights, biases and steps into the network."""
        for part in self._learned:
            part.commit()

    @torch.no_grad()
    def restore(self) -> None:
        """Gives the network back what it had before."""
        for part in self._learned:
            part.restore()


class _Learned(Protocol):
    """Something of the network that is replaced for a while."""

    def commit(self) -> None: ...

    def restore(self) -> None: ...


class _Weight:
    def __init__(self, module: fx.GraphModule, node: Node) -> None:
        call, name = node.args[1], parameter_of(node.args[1])
        assert isinstance(call, Node)  # noqa: S101
        assert name is not None  # noqa: S101
        quantizer = module.get_submodule(str(call.target))
        assert isinstance(quantizer, FakeQuantize)  # noqa: S101
        quantizer.momentum = None
        self.weight = attribute_of(module, name, is_float=False)
        real = attribute_of(module, name, is_float=True).float()
        self.scale = quantizer.spread(quantizer.scale.detach(), real)
        self.zero_point = quantizer.spread(quantizer.zero_point, real)
        self.before = quantize(self.weight.float(), self.scale, self.zero_point, quantizer.type)
        wish = real / self.scale + self.zero_point
        self.rounding = SoftRounding(wish, self.before, quantizer.type)

    def real(self) -> Tensor:
        real = dequantize(self.rounding(), self.scale, self.zero_point)
        return real.to(self.weight.dtype)

    def commit(self) -> None:
        self._write(self.rounding.rounded())

    def restore(self) -> None:
        self._write(self.before)

    def _write(self, codes: Tensor) -> None:
        self.weight.copy_(dequantize(codes, self.scale, self.zero_point))


class _Bias:
    """An offset, in units of what one step of all of a filter's weights together is."""

    def __init__(self, node: Node, bias: Tensor, unit: Tensor) -> None:
        self.node, self.bias, self.unit = node, bias, unit
        self.before = bias.clone()
        self.offset = nn.Parameter(torch.zeros_like(bias))

    @staticmethod
    def of(module: fx.GraphModule, layer: Node) -> "_Bias | None":
        node = layer.args[2] if len(layer.args) > 2 else None
        weight = parameter_of(layer.args[1])
        assert weight is not None  # noqa: S101
        if not isinstance(node, Node) or node.op != "get_attr" or len(node.users) > 1:
            return None
        bias = attribute_of(module, str(node.target), is_float=False)
        size = attribute_of(module, weight, is_float=True).float().square().sum().sqrt()
        return _Bias(node, bias, size / len(bias) ** 0.5)

    def real(self) -> Tensor:
        return self.before + self.offset * self.unit

    def commit(self) -> None:
        self.bias.copy_(self.real())

    def restore(self) -> None:
        self.bias.copy_(self.before)


class _Step:
    """A factor of a quantizer's step, as the power of e that is learned."""

    def __init__(self, quantizer: nn.Module) -> None:
        assert isinstance(quantizer, FakeQuantize)  # noqa: S101
        self.quantizer, self.before = quantizer, quantizer.scale.detach().clone()
        self.growth = nn.Parameter(torch.zeros_like(self.before))

    def rounded(self, x: Tensor) -> Tensor:
        quantizer = self.quantizer
        scale = self.before * self.growth.exp()
        point = quantizer.zero_point
        return round_learned(x.float(), scale, point, quantizer.type, quantizer.axis).to(x.dtype)

    def commit(self) -> None:
        self._write(self.before * self.growth.exp())

    def restore(self) -> None:
        self._write(self.before)

    def _write(self, scale: Tensor) -> None:
        quantizer, kind = self.quantizer, self.quantizer.type
        quantizer.momentum = None
        quantizer.scale.data.copy_(scale)
        quantizer.low.copy_((kind.low - quantizer.zero_point) * scale)
        quantizer.high.copy_((kind.high - quantizer.zero_point) * scale)


def _own_quantizers(module: fx.GraphModule, unit: Unit) -> list[str]:
    """Quantizers of activations that only nodes of the unit call."""
    inside = set(unit.nodes)
    callers: dict[str, list[Node]] = {}
    for node in module.graph.nodes:
        if node.op == "call_module":
            callers.setdefault(str(node.target), []).append(node)
    own = []
    for name, nodes in callers.items():
        part = module.get_submodule(name)
        is_free = isinstance(part, FakeQuantize) and not part.type.is_power_of_two
        if is_free and part.is_enabled and inside.issuperset(nodes):
            own.append(name)
    return own
