"""The one inserter: puts quantizers where a target's rules want them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx import Node

from lilliput.core import (
    IntegerType,
    Kernel,
    Model,
    Note,
    PerChannel,
    PerGroup,
    PerTensor,
    QuantizationRules,
    Scheme,
    UnsupportedError,
)
from lilliput.graph import capture, fold_batch_norm, fold_padding
from lilliput.quantize.bits.precision import Precision
from lilliput.quantize.numbers.dynamic_range import DynamicQuantize
from lilliput.quantize.numbers.fake import FakeQuantize
from lilliput.quantize.placing.left_float import left_float
from lilliput.quantize.placing.nearest import nearest_activation, nearest_weight
from lilliput.quantize.placing.open_layers import WITH_WEIGHT, open_layer, operator_kind
from lilliput.quantize.placing.plan import Plan
from lilliput.quantize.placing.tables import embeddings

__all__ = ["Inserted", "insert", "layer_of"]


@dataclass(frozen=True, eq=False)
class Inserted:
    """A captured model with quantizers that do not act yet.

    Args:
        model: BatchNorm folded, `FakeQuantize` modules in place.
        observed: Calls of activations' quantizers, except where data was only moved before.
        operators: Operators with a quantized weight: input, weight and bias are their arguments.
        tables: Lookups in a quantized table, which is their first argument.
    """

    model: Model
    observed: tuple[Node, ...]
    operators: tuple[Node, ...]
    tables: tuple[Node, ...] = ()


def insert(
    model: Model,
    rules: QuantizationRules,
    precision: Precision,
    momentum: float | None = None,
    scheme: Scheme = "static",
) -> Inserted:
    """Places quantizers by `rules`.

    What the target has no form for becomes the nearest that it has; the model's notes say so.

    Args:
        model: What to quantize; it is not changed.
        rules: Of the target's runtime.
        precision: What differs from the rules.
        momentum: In training, how fast an activation's range follows, while weights' ranges are
            the weights' own; None keeps both as calibrated.
        scheme: Whether activations are integers of fixed scale, of one found at run time, or
            floats.

    Raises:
        UnsupportedError: The network has no operator that the rules quantize, or no layer of a
            name in `precision`.
        TraceError: The network cannot be traced.
    """
    captured, _ = fold_batch_norm(capture(model, keeps_masks=False))
    module = captured.module
    assert isinstance(module, fx.GraphModule)  # noqa: S101
    fold_padding(module)
    activation, notes = nearest_activation(rules.activation, rules)
    rules = replace(rules, activation=activation)
    candidates = dict(_weighted(module, rules, scheme))
    lookups = embeddings(module, rules)
    precision.check([*candidates, *lookups])
    weights = _Weights(module, rules, precision, None if momentum is None else 1.0)
    operators = weights.insert(candidates, scheme)
    tables = weights.insert(lookups, "weights")
    if not operators and not tables:
        raise UnsupportedError(_nothing(rules, scheme, bool(candidates or lookups)))
    if scheme == "static":
        plan = Plan(module, rules)
        plan.walk()
        observed = _insert_for_activations(plan, momentum)
        observed += _insert_for_readers(module, operators, rules, precision, momentum)
    else:
        notes, observed = (), ()
        if scheme == "dynamic":
            _insert_at_run_time(module, operators, rules)
    module.graph.lint()
    module.recompile()
    notes = (*captured.notes, *notes, *weights.notes, *left_float(module, rules, scheme))
    return Inserted(replace(captured, notes=notes), observed, operators, tables)


def _nothing(rules: QuantizationRules, scheme: Scheme, has_candidates: bool) -> str:
    wanted = ", ".join(sorted(_quantized(rules, scheme))) or "no operator"
    return (
        f"there is nothing to quantize: the rules quantize the weights of {wanted}, and the "
        "network runs none of them" + (" that is not to stay float" if has_candidates else "")
    )


def layer_of(node: Node) -> str:
    """The layer that an operator with a weight belongs to, by the name of its weight."""
    weight = node.args[1]
    while isinstance(weight, Node) and weight.op != "get_attr":
        weight = weight.all_input_nodes[0]
    assert isinstance(weight, Node)  # noqa: S101
    return str(weight.target).removesuffix(".weight")


def _quantized(rules: QuantizationRules, scheme: Scheme) -> frozenset[str]:
    """The operators with a weight that rules quantize."""
    known = [kernel.operators for kernel in rules.kernels if kernel.scheme == scheme]
    if scheme == "static" or not known:
        return WITH_WEIGHT & rules.quantized_operators
    return WITH_WEIGHT.intersection(frozenset().union(*known))


def _weighted(
    module: fx.GraphModule, rules: QuantizationRules, scheme: Scheme
) -> Iterator[tuple[str, list[Node]]]:
    """The operators whose weight can be quantized, opened, by layer."""
    found: dict[str, list[Node]] = {}
    for node in list(module.graph.nodes):
        kind = operator_kind(module, node)
        if kind not in _quantized(rules, scheme):
            continue
        opened = open_layer(module, node, kind)
        weight = opened.args[1] if opened is not None else None
        # a weight that the network computes, say by a parametrization, stays float
        if opened is not None and isinstance(weight, Node) and weight.op == "get_attr":
            found.setdefault(layer_of(opened), []).append(opened)
    yield from found.items()


class _Weights:
    """Lets weights pass quantizers, and keeps what is to be said of them."""

    def __init__(
        self,
        module: fx.GraphModule,
        rules: QuantizationRules,
        precision: Precision,
        momentum: float | None,
    ) -> None:
        self.module, self.rules, self.precision = module, rules, precision
        self.momentum = momentum
        self.notes: tuple[Note, ...] = ()

    def insert(self, layers: Mapping[str, list[Node]], scheme: Scheme) -> tuple[Node, ...]:
        """Gives the operators of those layers that are not to stay float."""
        chosen = {k: nodes for k, nodes in layers.items() if not self.precision.is_float(k)}
        for layer, nodes in chosen.items():
            own = _weight_of(nodes[0])
            operator = operator_kind(self.module, nodes[0])
            usual = self.rules.weight
            if operator == "embedding" and not isinstance(usual.granularity, PerTensor):
                usual = replace(usual, granularity=PerChannel())
            kind = self.precision.weight(layer, usual)
            kind, notes = nearest_weight(kind, layer, operator, scheme, self.rules)
            self.notes += notes
            kernel = self.rules.kernel_for(operator, scheme, kind) or Kernel(frozenset())
            name = _add_for_weight(self.module, nodes[0], kind, self.momentum, kernel)
            for node in nodes:
                own = _weight_of(node)
                with self.module.graph.inserting_before(node):
                    quantized = self.module.graph.call_module(name, (own,))
                quantized.meta = {**own.meta, "is_weight": True}
                node.replace_input_with(own, quantized)
        return tuple(node for nodes in chosen.values() for node in nodes)


def _weight_of(node: Node) -> Node:
    """The weight among an operator's arguments."""
    is_lookup = node.target == torch.ops.aten.embedding.default
    weight = node.args[0 if is_lookup else 1]
    assert isinstance(weight, Node)  # noqa: S101
    return weight


def _add_for_weight(
    module: fx.GraphModule, node: Node, kind: IntegerType, momentum: float | None, kernel: Kernel
) -> str:
    weight = str(_weight_of(node).target)
    owner, _, leaf = weight.rpartition(".")
    holder = module.get_submodule(owner)
    value: Tensor = getattr(holder, leaf)
    is_transposed = operator_kind(module, node) == "conv_transpose2d"
    # the output channels of a grouped transposed convolution lie on two axes
    is_mixed = is_transposed and len(node.args) > 6 and node.args[6] != 1
    axis = 1 if is_transposed else 0
    if isinstance(kind.granularity, PerTensor) or is_mixed:
        quantizer = FakeQuantize(kind, momentum=momentum)
    elif isinstance(kind.granularity, PerGroup) and _divides(kind.granularity.size, value, axis):
        size = kind.granularity.size
        quantizer = FakeQuantize(kind, 0, value.numel() // size, momentum, size)
        quantizer.scale_bits = kernel.group_scale_bits
    else:
        kind = replace(kind, granularity=PerChannel())
        quantizer = FakeQuantize(kind, axis, value.shape[axis], momentum)
    holder.add_module(f"{leaf}_quantizer", quantizer)
    return f"{weight}_quantizer"


def _divides(size: int, weight: Tensor, axis: int) -> bool:
    return axis == 0 and weight[0].numel() % size == 0


def _insert_at_run_time(
    module: fx.GraphModule, operators: Sequence[Node], rules: QuantizationRules
) -> None:
    """Rounds what operators read to integers of the range at hand."""
    added: dict[tuple[Node, int], Node] = {}
    for node in operators:
        source = node.args[0]
        assert isinstance(source, Node)  # noqa: S101
        axes = 0
        if rules.ranges_at_run_time == "row":
            axes = -1 if operator_kind(module, node) == "linear" else 1
        if (source, axes) not in added:
            name = f"{node.name}_input_quantizer"
            module.add_module(name, DynamicQuantize(8, axes))
            with module.graph.inserting_before(node):
                call = module.graph.call_module(name, (source,))
            call.meta = dict(source.meta)
            added[source, axes] = call
        node.replace_input_with(source, added[source, axes])


def _insert_for_readers(
    module: fx.GraphModule,
    operators: Sequence[Node],
    rules: QuantizationRules,
    precision: Precision,
    momentum: float | None,
) -> tuple[Node, ...]:
    """Gives layers that read fewer bits than others a quantizer of their own."""
    wanted: dict[tuple[Node, IntegerType], list[Node]] = {}
    for node in operators:
        kind = precision.activation(layer_of(node), rules.activation)
        source = node.args[0]
        if kind != rules.activation and isinstance(source, Node):
            wanted.setdefault((source, kind), []).append(node)
    added = []
    for (source, kind), readers in wanted.items():
        own = _own_quantizer(module, source)
        if own is not None and set(source.users) <= set(readers):
            own.type = kind
            continue
        name = f"{readers[0].name}_input_quantizer"
        module.add_module(name, FakeQuantize(kind, momentum=momentum))
        with module.graph.inserting_before(readers[0]):
            quantized = module.graph.call_module(name, (source,))
        quantized.meta = dict(source.meta)
        for reader in readers:
            reader.replace_input_with(source, quantized)
        added.append(quantized)
    return tuple(added)


def _own_quantizer(module: fx.GraphModule, node: Node) -> FakeQuantize | None:
    """The quantizer called at a node, where no other tensor shares it."""
    part = module.get_submodule(str(node.target)) if node.op == "call_module" else None
    calls = [other for other in module.graph.nodes if other.target == node.target]
    return part if isinstance(part, FakeQuantize) and len(calls) == 1 else None


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
