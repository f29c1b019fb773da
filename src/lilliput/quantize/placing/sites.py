"""Where a quantized network rounds: at layers with a weight, and at tensors between them."""

from collections import Counter
from dataclasses import dataclass

from torch import fx
from torch.fx import Node

from lilliput.graph import operator_of, owner_of
from lilliput.quantize.beside.lockstep import weighted
from lilliput.quantize.numbers.fake import FakeQuantize, quantizers
from lilliput.quantize.placing.insert import layer_of

__all__ = ["Site", "node_names", "quantizer_at", "sites"]


@dataclass(frozen=True)
class Site:
    """A layer with a quantized weight, or a tensor that no such layer reads.

    Args:
        name: Of the layer, or of the operator whose result is rounded: `layer1.0 (add)`.
        operator: What the layer runs; "" for a tensor.
        weights: Name of the weight's quantizer; empty for a tensor.
        reads: Names of the quantizers of what the layer reads; for a tensor, its own. Others that
            read the same tensor read it rounded too.
        gives: Name of the quantizer of its result, after what is fused to it; "" for none.
    """

    name: str
    operator: str
    weights: frozenset[str]
    reads: frozenset[str]
    gives: str = ""

    @property
    def is_layer(self) -> bool:
        """Whether it has a weight, so that `Precision` knows its name."""
        return bool(self.weights)


def sites(module: fx.GraphModule) -> tuple[Site, ...]:
    """Every place where quantizers act, in the order they run.

    Args:
        module: A captured network with quantizers.
    """
    found: dict[str, Site] = {}
    for node, _ in weighted(module):
        layer, before = layer_of(node), _quantizer_before(module, node)
        known = found.get(layer)
        reads = (known.reads if known else frozenset()) | ({before} if before else frozenset())
        weight = node.args[1]
        assert isinstance(weight, Node)  # noqa: S101
        own = frozenset({str(weight.target)})
        found[layer] = Site(layer, operator_of(node), own, reads, _quantizer_after(module, node))
    rest = set(quantizers(module)).difference(*(s.weights | s.reads for s in found.values()))
    names = node_names(module)
    for node in module.graph.nodes:
        if node.op == "call_module" and str(node.target) in rest:
            rest.discard(str(node.target))
            source = node.args[0]
            name = names.get(source, str(source))
            name = f"{name} (result)" if name in found else name
            called = str(node.target)
            found[name] = Site(name, "", frozenset(), frozenset({called}), called)
    return tuple(found.values())


def node_names(module: fx.GraphModule) -> dict[Node, str]:
    """What to call each operator: its layer, or its module with what it runs: `layer1.0 (add)`."""
    layers = {node: layer_of(node) for node, _ in weighted(module)}
    seen: Counter[str] = Counter()
    names = {}
    for node in module.graph.nodes:
        if node.op in {"get_attr", "output"} or quantizer_at(module, node) is not None:
            continue
        name = layers.get(node) or _name(node)
        names[node] = f"{name}@{seen[name]}" if seen[name] else name
        seen[name] += 1
    return names


def _name(node: Node) -> str:
    if node.op == "placeholder":
        return f"input {node.name}"
    owner, operator = owner_of(node), operator_of(node)
    if node.op == "call_module":
        return str(node.target)
    return f"{owner or node.name} ({operator})" if operator else node.name


def quantizer_at(module: fx.GraphModule, node: Node) -> FakeQuantize | None:
    """The quantizer that a node calls; None for all other nodes."""
    part = module.get_submodule(str(node.target)) if node.op == "call_module" else None
    return part if isinstance(part, FakeQuantize) else None


def _quantizer_after(module: fx.GraphModule, node: Node) -> str:
    """The name of the one that rounds an operator's result, or that of what is fused to it."""
    while len(node.users) == 1:
        node = next(iter(node.users))
        if quantizer_at(module, node) is not None:
            return str(node.target)
    return ""


def _quantizer_before(module: fx.GraphModule, node: Node) -> str:
    """The name of the one whose integers an operator reads, through dropout and lists; or ""."""
    source = node.args[0]
    while isinstance(source, Node):
        if quantizer_at(module, source) is not None:
            return str(source.target)
        source = source.all_input_nodes[0] if source.all_input_nodes else None
    return ""
