"""A traced network that is a network again: it trains, deep-copies, and its graph can be edited.

`torch.export`'s own graph module refuses `train()` and freezes BatchNorm. Here every operator that
a leaf layer ran (`nn.Conv2d`, `nn.BatchNorm2d`, `nn.Dropout`, ...) calls that layer again under its
own name, its mask included, and only what happens between layers stays as ATen operators.
"""

import copy
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, fx, nn
from torch.nn.utils import parametrize
from torch.utils._pytree import TreeSpec, tree_unflatten

from lilliput.core import Model
from lilliput.graph.functional import functionalize
from lilliput.graph.graph import Graph, owner_of
from lilliput.graph.masks import is_masked, without_masks
from lilliput.graph.trace import trace

__all__ = ["as_module", "capture", "is_captured"]

_LAYERS = (
    nn.Conv1d,
    nn.Conv2d,
    nn.ConvTranspose2d,
    nn.Linear,
    nn.Embedding,
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
)


def is_captured(module: nn.Module) -> bool:
    """Whether the module came from `capture`."""
    return isinstance(module, fx.GraphModule)


def capture(model: Model, keeps_masks: bool = True) -> Model:
    """Gives the same network as an editable `fx.GraphModule`; parameters keep their names.

    Args:
        model: It is not changed.
        keeps_masks: Whether masked layers stay masked, or become plain ones with zeros.

    Raises:
        TraceError: The network cannot be traced.
    """
    model = model if keeps_masks else without_masks(model)
    if is_captured(model.module):
        return model.clone()
    return replace(model, module=as_module(trace(model)))


def as_module(graph: Graph, instead: Mapping[int, Tensor] | None = None) -> fx.GraphModule:
    """Gives a traced network as a module; calls keep the names they have in the trace.

    Args:
        graph: What was traced.
        instead: By the `id` of a parameter or buffer, what takes its place.
    """
    own = copy.deepcopy(graph.model.module, dict(instead or {}))
    exported = graph.program.module(check_guards=False)
    layers = dict(own.named_modules())
    calls = exported.graph
    functionalize(calls)
    operators = [node for node in calls.nodes if node.op == "call_function"]
    per_call = Counter(
        _call_of(node) for node in operators if not _is_own(node, f"{owner_of(node)}.")
    )
    for node in operators:
        name = owner_of(node)
        layer = layers.get(name)
        inputs = [n for n in node.all_input_nodes if not _is_own(n, f"{name}.")]
        if _type_of(layer) not in _LAYERS or not _runs_whole(node, name) or len(inputs) != 1:
            continue
        if per_call[_call_of(node)] != 1:  # e.g. the padding and the convolution of one layer
            continue
        with calls.inserting_before(node):
            call = calls.create_node("call_module", name, (inputs[0],))
        call.meta = dict(node.meta)
        node.replace_all_uses_with(call)
        calls.erase_node(node)
    for name, value in [*exported.named_parameters(), *exported.named_buffers()]:
        _adopt(own, name, value)
    _plain_signature(calls, exported)
    module = fx.GraphModule(own, calls, class_name=type(own).__name__)
    module.graph.eliminate_dead_code()
    module.recompile()
    module.train(graph.model.module.training)
    return module


def _plain_signature(calls: fx.Graph, exported: nn.Module) -> None:
    """Positional arguments in, the network's own structure out, without flattening code."""
    output = next(node for node in calls.nodes if node.op == "output")
    leaves = list(output.args[0])
    structure: TreeSpec = exported._out_spec  # type: ignore[assignment]  # noqa: SLF001
    output.args = (tree_unflatten(leaves, structure),)
    calls.set_codegen(fx.graph.CodeGen())
    calls._tracer_cls = None  # noqa: SLF001  torch.export's cannot be made again from a pickle


def _call_of(node: fx.Node) -> str:
    """The innermost module's key, which tells its first call from its second."""
    stack = node.meta.get("nn_module_stack") or {}
    return str(next(reversed(stack))) if stack else ""


def _type_of(layer: nn.Module | None) -> type | None:
    """The class of a layer, and of a masked one that which it has without its mask."""
    if layer is not None and is_masked(layer):
        return parametrize.type_before_parametrizations(layer)
    return None if layer is None else type(layer)


def _is_own(node: fx.Node, prefix: str) -> bool:
    """Whether a node gives a parameter of the layer, or what its mask leaves of one."""
    if node.op == "get_attr":
        return str(node.target).startswith(prefix)
    sources = node.all_input_nodes
    masked = f"{prefix}parametrizations."
    is_computed = node.op == "call_function" and bool(sources)
    return is_computed and all(n.op == "get_attr" and _is_own(n, masked) for n in sources)


def _runs_whole(node: fx.Node, name: str) -> bool:
    """Whether only parameters of the layer itself go into the node."""
    own = [n for n in node.all_input_nodes if n.op == "get_attr"]
    return all(_is_own(n, f"{name}.") for n in own)


def _adopt(own: nn.Module, name: str, value: torch.Tensor) -> None:
    """Constants that the trace lifted out of the network's code get a place in it."""
    owner, _, leaf = name.rpartition(".")
    try:
        holder = own.get_submodule(owner)
    except AttributeError:
        own.register_buffer(leaf, value)
        return
    if not hasattr(holder, leaf):
        holder.register_buffer(leaf, value)
