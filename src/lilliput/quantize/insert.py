"""The one inserter: puts quantizers where a target's rules want them.

Rules name operators; the graph says which tensors those operators eat and make. A tensor that a
quantized operator makes is quantized for all who read it (it is an integer on the device); a tensor
that comes from a float operator is quantized only for the quantized operators that read it.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx, nn
from torch.fx import Node

from lilliput.core import Model, QuantizationRules, UnsupportedError
from lilliput.graph import capture, fold_batch_norm
from lilliput.quantize.fake import FakeQuantize
from lilliput.quantize.open_layers import WITH_WEIGHT, open_layer, operator_kind

__all__ = ["Inserted", "insert"]



@dataclass(frozen=True, eq=False)
class Inserted:
    """A captured model with quantizers that do not act yet.

    Args:
        model: BatchNorm folded, `FakeQuantize` modules in place.
        activations: Names of the quantizers of activations.
        weights: Quantizer of each weight, by the weight's name.
    """

    model: Model
    activations: tuple[str, ...]
    weights: dict[str, str]


def insert(model: Model, rules: QuantizationRules, momentum: float | None = None) -> Inserted:
    """Places quantizers by `rules`.

    Args:
        model: What to quantize; it is not changed.
        rules: Of the target's runtime.
        momentum: In training, how much of a batch's range an activation's range takes on, while
            weights' ranges follow the weights; None keeps both as calibrated.

    Raises:
        UnsupportedError: The network has no operator that the rules quantize.
        TraceError: The network cannot be traced.
    """
    folded, _ = fold_batch_norm(model.clone())
    captured = capture(folded)
    module = captured.module
    assert isinstance(module, fx.GraphModule)  # noqa: S101
    weights = _WeightQuantizers(module, rules, momentum).insert()
    if not weights:
        wanted = ", ".join(sorted(rules.quantized_operators & WITH_WEIGHT))
        raise UnsupportedError(f"there is nothing to quantize: the network runs no {wanted}")
    plan = _Plan(module, rules)
    plan.walk()
    activations = _place(module, plan, rules, momentum)
    module.graph.lint()
    module.recompile()
    return Inserted(captured, activations, weights)


@dataclass(eq=False)
class _WeightQuantizers:
    """Lets every weight that the rules want as integers pass a quantizer."""

    module: fx.GraphModule
    rules: QuantizationRules
    momentum: float | None

    def insert(self) -> dict[str, str]:
        made: dict[str, str] = {}
        for node in list(self.module.graph.nodes):
            kind = operator_kind(self.module, node)
            if kind not in WITH_WEIGHT & self.rules.quantized_operators:
                continue
            opened = open_layer(self.module, node, kind)
            weight = opened.args[1] if opened is not None else None
            # a weight that the network computes, say by a parametrization, stays float
            if opened is None or not (isinstance(weight, Node) and weight.op == "get_attr"):
                continue
            name = str(weight.target)
            if name not in made:
                made[name] = self._add(name, opened, kind)
            with self.module.graph.inserting_before(opened):
                quantized = self.module.graph.call_module(made[name], (weight,))
            quantized.meta = dict(weight.meta)
            opened.replace_input_with(weight, quantized)
        return made

    def _add(self, weight: str, node: Node, kind: str) -> str:
        owner, _, leaf = weight.rpartition(".")
        holder = self.module.get_submodule(owner)
        value = getattr(holder, leaf)
        axis = 1 if kind == "conv_transpose2d" else 0
        # the output channels of a grouped transposed convolution lie on two axes
        is_mixed = kind == "conv_transpose2d" and len(node.args) > 6 and node.args[6] != 1
        per_channel = self.rules.weight.is_per_channel and not is_mixed
        follow = None if self.momentum is None else 1.0
        quantizer = FakeQuantize(
            self.rules.weight,
            axis if per_channel else None,
            value.shape[axis] if per_channel else 1,
            follow,
        )
        holder.add_module(f"{leaf}_quantizer", quantizer)
        return f"{weight}_quantizer"


@dataclass(eq=False)
class _Plan:
    """Which tensors are integers on the device, and which of them share a scale.

    Args:
        module: The network, weights quantized.
        rules: Of the runtime.
        integer: For each node whose tensor is an integer, the node that names its quantizer.
        edges: For each node whose tensor is float, the quantized operators that read it.
    """

    module: fx.GraphModule
    rules: QuantizationRules
    integer: dict[Node, Node] = field(default_factory=dict)
    edges: dict[Node, list[Node]] = field(default_factory=dict)
    same: dict[Node, Node] = field(default_factory=dict)

    def walk(self) -> None:
        for node in self.module.graph.nodes:
            kind = operator_kind(self.module, node)
            sources = _float_inputs(node)
            are_integers = bool(sources) and all(source in self.integer for source in sources)
            if self._has_quantized_weight(node):
                source = sources[0]
                if source not in self.integer:
                    self.edges.setdefault(source, []).append(node)
                self._gives_integers(node)
            elif node in self.integer or not _is_float(node) or not are_integers:
                continue
            elif kind in self.rules.shared_scale_operators and _keeps_values(node, kind):
                roots = [self.root(self.integer[source]) for source in sources]
                for other in roots[1:]:
                    if self.root(other) is not self.root(roots[0]):
                        self.same[self.root(other)] = self.root(roots[0])
                self.integer[node] = roots[0]
            elif kind in self.rules.quantized_operators and kind not in WITH_WEIGHT:
                self._gives_integers(node)

    def root(self, node: Node) -> Node:
        """The node that names the quantizer, where several share one."""
        while node in self.same:
            node = self.same[node]
        return node

    def _gives_integers(self, node: Node) -> None:
        """The operator's result is an integer: after the activation that it absorbs, if any."""
        users = list(node.users)
        if len(users) == 1 and operator_kind(self.module, users[0]) in self.rules.fused_activations:
            node = users[0]
        is_output = any(user.op == "output" for user in node.users)
        if not is_output or self.rules.quantizes_outputs:
            self.integer[node] = node

    def _has_quantized_weight(self, node: Node) -> bool:
        weight = node.args[1] if len(node.args) > 1 else None
        if not isinstance(weight, Node) or weight.op != "call_module":
            return False
        return isinstance(self.module.get_submodule(str(weight.target)), FakeQuantize)


def _place(
    module: fx.GraphModule, plan: _Plan, rules: QuantizationRules, momentum: float | None
) -> tuple[str, ...]:
    """Puts a quantizer behind every integer tensor, and in front of the readers of float ones."""
    graph, names = module.graph, {}

    def quantizer_of(root: Node) -> str:
        if root not in names:
            names[root] = f"{root.name}_quantizer"
            follow = None if momentum is None else momentum
            module.add_module(names[root], FakeQuantize(rules.activation, momentum=follow))
        return names[root]

    for source, readers in plan.edges.items():
        with graph.inserting_before(readers[0]):
            quantized = graph.call_module(quantizer_of(source), (source,))
        quantized.meta = dict(source.meta)
        for reader in readers:
            reader.replace_input_with(source, quantized)
    for node, root in plan.integer.items():
        with graph.inserting_after(node):
            quantized = graph.call_module(quantizer_of(plan.root(root)), (node,))
        quantized.meta = dict(node.meta)
        node.replace_all_uses_with(quantized, delete_user_cb=lambda user, q=quantized: user is not q)
    return tuple(names.values())


def _is_float(node: Node) -> bool:
    value = node.meta.get("val")
    return isinstance(value, torch.Tensor) and value.is_floating_point()


def _float_inputs(node: Node) -> list[Node]:
    """Activations that go into the node; weights come through `get_attr` or a quantizer."""
    return [
        source
        for source in node.all_input_nodes
        if source.op in {"placeholder", "call_function", "call_module"}
        and _reads(source)
        and not source.name.endswith("_weight_quantizer")
    ]


def _reads(source: Node) -> bool:
    value: Any = source.meta.get("val")
    if isinstance(value, list | tuple):  # split and chunk give several
        return all(isinstance(v, torch.Tensor) and v.is_floating_point() for v in value)
    return _is_float(source)


def _keeps_values(node: Node, kind: str) -> bool:
    """Whether data is only moved; padding may add nothing but zeros, which every scale has."""
    if kind == "constant_pad_nd":
        return len(node.args) < 3 or not node.args[2]
    if kind == "pad":
        mode = node.args[2] if len(node.args) > 2 else "constant"
        value = node.args[3] if len(node.args) > 3 else node.kwargs.get("value")
        return mode != "constant" or not value
    return True
