"""What stays float although a network is quantized, told in a line each."""

from collections.abc import Iterator

from torch import fx, nn
from torch.fx import Node

from lilliput.core import Note, QuantizationRules, Scheme
from lilliput.graph import owner_of
from lilliput.quantize.placing.open_layers import WITH_WEIGHT, operator_kind
from lilliput.quantize.placing.plan import is_float

__all__ = ["left_float"]

_WEIGHTED = WITH_WEIGHT | {
    "conv_transpose1d",
    "conv_transpose3d",
    "conv3d",
    "embedding",
    "gru",
    "lstm",
    "rnn_tanh",
}
_NORMS: dict[type[nn.Module], str] = {
    nn.LayerNorm: "layer_norm",
    nn.GroupNorm: "group_norm",
    nn.BatchNorm1d: "batch_norm",
    nn.BatchNorm2d: "batch_norm",
}
_NOT_TOLD = frozenset({"", "getitem", "_to_copy", "sym_size", "dropout"})


def left_float(module: fx.GraphModule, rules: QuantizationRules, scheme: Scheme) -> Iterator[Note]:
    """Layers whose weights stay float, and the operators without weights that compute in floats.

    Args:
        module: With its quantizers.
        rules: By which these were placed.
        scheme: How activations go; only of fixed scale are operators without weights integers.
    """
    others = []
    for node in module.graph.nodes:
        part = module.get_submodule(str(node.target)) if node.op == "call_module" else None
        kind = (_NORMS.get(type(part)) if part is not None else None) or operator_kind(module, node)
        if kind in _WEIGHTED:
            if not any("is_weight" in source.meta for source in node.all_input_nodes):
                yield Note(f"{owner_of(node) or node.name} ({kind}) stays float", is_fallback=False)
        elif (
            scheme == "static" and kind not in _NOT_TOLD and _computes_in_floats(node, kind, rules)
        ):
            others.append(kind)
    if others:
        yield Note(f"in floats run {', '.join(sorted(set(others)))}", is_fallback=False)


def _computes_in_floats(node: Node, kind: str, rules: QuantizationRules) -> bool:
    """Whether the rules have no integers for an operator on activations."""
    if not is_float(node):
        return False
    known = rules.quantized_operators | rules.shared_scale_operators | rules.fused_activations
    return kind not in known and any(is_float(source) for source in node.all_input_nodes)
