"""The one inserter: puts quantizers where a target's rules want them."""

from dataclasses import dataclass
from typing import Any

from torch import fx
from torch.fx import Node

from lilliput.core import Model, QuantizationRules, UnsupportedError
from lilliput.graph import capture, fold_batch_norm
from lilliput.quantize.fake import FakeQuantize
from lilliput.quantize.open_layers import WITH_WEIGHT, open_layer, operator_kind
from lilliput.quantize.plan import Plan

__all__ = ["Inserted", "insert"]


@dataclass(frozen=True, eq=False)
class Inserted:
    """A captured model with quantizers that do not act yet.

    Args:
        model: BatchNorm folded, `FakeQuantize` modules in place.
        observed: Calls of activations' quantizers, except where data was only moved before.
        operators: Operators with a quantized weight: input, weight and bias are their arguments.
    """

    model: Model
    observed: tuple[Node, ...]
    operators: tuple[Node, ...]


def insert(model: Model, rules: QuantizationRules, momentum: float | None = None) -> Inserted:
    """Places quantizers by `rules`.

    Args:
        model: What to quantize; it is not changed.
        rules: Of the target's runtime.
        momentum: In training, how fast an activation's range follows, while weights' ranges are
            the weights' own; None keeps both as calibrated.

    Raises:
        UnsupportedError: The network has no operator that the rules quantize.
        TraceError: The network cannot be traced.
    """
    folded, _ = fold_batch_norm(model.clone())
    captured = capture(folded)
    module = captured.module
    assert isinstance(module, fx.GraphModule)  # noqa: S101
    operators = _insert_for_weights(module, rules, None if momentum is None else 1.0)
    if not operators:
        wanted = ", ".join(sorted(rules.quantized_operators & WITH_WEIGHT)) or "no operator"
        raise UnsupportedError(
            "there is nothing to quantize: the rules quantize the weights of "
            f"{wanted}, and the network runs none of them"
        )
    plan = Plan(module, rules)
    plan.walk()
    observed = _insert_for_activations(plan, momentum)
    module.graph.lint()
    module.recompile()
    return Inserted(captured, observed, operators)


def _insert_for_weights(
    module: fx.GraphModule, rules: QuantizationRules, momentum: float | None
) -> tuple[Node, ...]:
    """Lets every weight that the rules want as integers pass a quantizer; gives its operators."""
    made: dict[str, str] = {}
    operators = []
    for node in list(module.graph.nodes):
        kind = operator_kind(module, node)
        if kind not in WITH_WEIGHT & rules.quantized_operators:
            continue
        opened = open_layer(module, node, kind)
        weight = opened.args[1] if opened is not None else None
        # a weight that the network computes, say by a parametrization, stays float
        if opened is None or not (isinstance(weight, Node) and weight.op == "get_attr"):
            continue
        name = str(weight.target)
        if name not in made:
            made[name] = _add_for_weight(module, opened, kind, rules, momentum)
        with module.graph.inserting_before(opened):
            quantized = module.graph.call_module(made[name], (weight,))
        quantized.meta = {**weight.meta, "is_weight": True}
        opened.replace_input_with(weight, quantized)
        operators.append(opened)
    return tuple(operators)


def _add_for_weight(
    module: fx.GraphModule, node: Node, kind: str, rules: QuantizationRules, momentum: float | None
) -> str:
    weight = str(node.args[1].target)  # type: ignore[union-attr]
    owner, _, leaf = weight.rpartition(".")
    holder = module.get_submodule(owner)
    axis = 1 if kind == "conv_transpose2d" else 0
    # the output channels of a grouped transposed convolution lie on two axes
    is_mixed = kind == "conv_transpose2d" and len(node.args) > 6 and node.args[6] != 1
    if rules.weight.is_per_channel and not is_mixed:
        channels = getattr(holder, leaf).shape[axis]
        quantizer = FakeQuantize(rules.weight, axis, channels, momentum)
    else:
        quantizer = FakeQuantize(rules.weight, momentum=momentum)
    holder.add_module(f"{leaf}_quantizer", quantizer)
    return f"{weight}_quantizer"


def _insert_for_activations(plan: Plan, momentum: float | None) -> tuple[Node, ...]:
    """Puts a quantizer behind every integer tensor, and in front of the readers of float ones."""
    module, graph = plan.module, plan.module.graph
    names: dict[Node, str] = {}
    observed = []

    def call(node: Node) -> Node:
        root = plan.root(node)
        if root not in names:
            names[root] = f"{root.name}_quantizer"
            module.add_module(names[root], FakeQuantize(plan.rules.activation, momentum=momentum))
        quantized = graph.call_module(names[root], (node,))
        quantized.meta = dict(node.meta)
        return quantized

    for source, readers in plan.readers.items():
        with graph.inserting_before(readers[0]):
            quantized = call(source)
        observed.append(quantized)
        for reader in readers:
            reader.replace_input_with(source, quantized)
    for node in plan.integer:
        if _passes_on(module, node):
            continue
        with graph.inserting_after(node):
            quantized = call(node)
        if node in plan.made_by:
            observed.append(quantized)
        for user in [user for user in node.users if user is not quantized]:
            user.replace_input_with(node, quantized)
    return tuple(observed)


def _passes_on(module: fx.GraphModule, node: Node) -> bool:
    """Lists are quantized by their items; dropout is gone on the device, and scales in training."""
    value: Any = node.meta.get("val")
    return isinstance(value, list | tuple) or operator_kind(module, node) == "dropout"
