"""How an operator with a quantized weight reads its activations, and what a target makes of it."""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import fx, nn
from torch.fx import Node

from lilliput.core import Kernel, QuantizationRules, Scheme
from lilliput.quantize.numbers.dynamic_range import DynamicQuantize
from lilliput.quantize.numbers.fake import FakeQuantize
from lilliput.quantize.placing.open_layers import operator_kind

__all__ = ["Weighted", "kernel_of", "weighted_operators"]

_SILENT = frozenset({"dropout", "split", "split_with_sizes", "chunk", "getitem"})


@dataclass(frozen=True, eq=False)
class Weighted:
    """An operator whose weight passes a quantizer that acts.

    Args:
        node: The operator.
        layer: The name of its layer.
        operator: Its ATen packet.
        scheme: How its activations go.
        quantizer: Of the weight.
        reads: Bits of what it reads; 0 for floats.
    """

    node: Node
    layer: str
    operator: str
    scheme: Scheme
    quantizer: FakeQuantize
    reads: int


def weighted_operators(module: nn.Module) -> Iterator[Weighted]:
    """Every operator with a quantized weight, in the order they run."""
    if not isinstance(module, fx.GraphModule):
        return
    for call in module.graph.nodes:
        part = _part(module, call)
        if not isinstance(part, FakeQuantize) or not part.is_enabled:
            continue
        if "is_weight" not in call.meta:
            continue
        for node in call.users:
            operator = operator_kind(module, node)
            scheme, reads = _scheme(module, node, call)
            layer = str(call.target).removesuffix("_quantizer").removesuffix(".weight")
            yield Weighted(node, layer, operator, scheme, part, reads)


def kernel_of(found: Weighted, rules: QuantizationRules) -> Kernel | None:
    """What the target has for an operator; None where nothing is known of it."""
    return rules.kernel_for(found.operator, found.scheme, found.quantizer.type, found.reads)


def _scheme(module: fx.GraphModule, node: Node, weight: Node) -> tuple[Scheme, int]:
    source = next((n for n in node.args[:1] if isinstance(n, Node) and n is not weight), None)
    while source is not None and operator_kind(module, source) in _SILENT:
        source = source.all_input_nodes[0]
    part = _part(module, source) if source is not None else None
    if isinstance(part, DynamicQuantize):
        return "dynamic", part.bits
    if isinstance(part, FakeQuantize) and part.is_enabled:
        return "static", part.type.bits
    return "weights", 0


def _part(module: fx.GraphModule, node: Node) -> nn.Module | None:
    return module.get_submodule(str(node.target)) if node.op == "call_module" else None
