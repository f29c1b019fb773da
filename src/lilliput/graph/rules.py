"""How each operator passes ids on.

Data movement is executed on the ids, elementwise operators relate what meets, and the few operators
that make new channels are written out. An operator that is not here costs its own channels only.
"""

import re
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from lilliput.graph.flow import Call, Flow, arguments_of
from lilliput.graph.graph import Graph, operator_of
from lilliput.graph.ids import FIXED, Weight, expand, fixed, packed, varying
from lilliput.graph.layers import (
    batch_norm,
    convolution,
    embedding,
    glu,
    group_norm,
    layer_norm,
    linear,
    prelu,
)
from lilliput.graph.movement import MOVES, moved
from lilliput.graph.products import attention, matmul, reduced

__all__ = ["follow"]

Rule = Callable[[Flow, Call], Any]

_SAME = frozenset(
    {
        *("clone", "contiguous", "detach", "alias", "_to_copy", "to", "type_as", "lift_fresh_copy"),
        *("dropout", "feature_dropout", "alpha_dropout", "tril", "triu", "zeros_like", "ones_like"),
        *("full_like", "empty_like", "rand_like", "randn_like"),
    }
)
_ELEMENTWISE = frozenset(
    {"rsub", "__and__", "__or__", "__xor__", "hardswish", "selu", "relu6", "masked_fill"}
)
_ALONG = frozenset({"softmax", "log_softmax", "cumsum", "cumprod", "logcumsumexp"})
_REDUCE = frozenset(
    {
        *("mean", "sum", "amax", "amin", "max", "min", "var", "std", "norm", "linalg_vector_norm"),
        *("logsumexp", "any", "all", "prod"),
    }
)
_SPATIAL = re.compile(
    r"(?:(?:adaptive_)?(?:avg|max)_pool|_adaptive_avg_pool|_?upsample_\w+?)([123])d(?:_with_indices)?$"
)


def follow(graph: Graph) -> Flow:
    """Follows the ids through the whole graph."""
    flow = Flow(graph)
    tensors = graph.tensor_names
    for node in graph.program.graph.nodes:
        if node.op == "placeholder":
            shape = flow.shape(node.meta.get("val"))
            name = tensors.get(node.name)
            weight = Weight(((name, tuple(range(len(shape)))),), shape) if name else None
            flow.values[node] = weight or fixed(shape)
        elif node.op == "call_function":
            flow.values[node] = _run(flow, node)
        elif node.op == "output":
            for value in flow.tensors(Call(node, {"outputs": flow.resolve(node.args)}, ())):
                flow.fix(flow.ids(value))
    return flow


def _run(flow: Flow, node: Node) -> Any:
    args, kwargs = flow.resolve((list(node.args), dict(node.kwargs)))
    if not hasattr(node.target, "_schema"):
        return node.target(*args, **kwargs)  # type: ignore[operator]  # sizes, and getitem
    out = node.meta.get("val")
    call = Call(node, arguments_of(node, (args, kwargs)), flow.shape(out))
    if operator_of(node) == "sym_size":
        return call["self"].shape[call["dim"]]
    if not isinstance(out, Tensor | list | tuple):
        return flow.size(out) if isinstance(out, torch.SymInt) else out
    if not flow.tensors(call):
        return fixed(call.shape)  # a tensor that the code makes of nothing
    result = _rule(node)(flow, call)
    return expand(result, call.shape) if isinstance(result, Tensor) else result


def _rule(node: Node) -> Rule:
    name = operator_of(node)
    name = name if name in _RULES or name in MOVES else name.removesuffix("_")
    if name in _RULES:
        return _RULES[name]
    if _SPATIAL.match(name):
        return _spatial
    tables = ((MOVES, moved), (_SAME, _same), (_ALONG, _along), (_ELEMENTWISE, _elementwise))
    for table, rule in tables:
        if name in table:
            return rule
    if torch.Tag.pointwise in getattr(node.target, "tags", ()):
        return _elementwise
    return _reduce if name in _REDUCE else Flow.refuse


# --- what leaves channels where they are ---------------------------------------------------------


def _same(flow: Flow, call: Call) -> Any:
    return flow.tensors(call)[0]


def _elementwise(flow: Flow, call: Call) -> Any:
    tensors = flow.tensors(call)
    weights = [t for t in tensors if isinstance(t, Weight)]
    if len(weights) == len(tensors) and len({w.shape for w in weights}) == 1:
        return Weight(tuple(dict.fromkeys(p for w in weights for p in w.parts)), weights[0].shape)
    ids = [t for t in tensors if isinstance(t, Tensor)] or [flow.ids(weights.pop(0))]
    result = ids[0]
    for other in ids[1:]:
        result = flow.meet(result, other)
    for weight in weights:
        result = flow.meet_weight(result, weight)
    return result


def _expand_as(flow: Flow, call: Call) -> Any:
    """One value for all channels, such as their norm, is spread over as many as there are."""
    ids, other = flow.ids(call["self"]), flow.ids(call["other"])
    ids = ids[(None,) * (other.dim() - ids.dim())]
    spread = [d for d in varying(other) if ids.shape[d] == 1]
    if spread == list(varying(other)) and bool((packed(ids) == FIXED).all()):
        return other
    if spread:
        flow.stop(call.node, "it spreads channels over other channels", other)
    return expand(ids, tuple(other.shape))


def _along(flow: Flow, call: Call) -> Any:
    ids = flow.ids(call["self"])
    if call["dim"] % ids.dim() in varying(ids):
        flow.stop(call.node, "it mixes the channels it runs over", ids)
    return ids


def _spatial(flow: Flow, call: Call) -> Any:
    found = _SPATIAL.match(operator_of(call.node))
    ids = flow.ids(flow.tensors(call)[0])
    for axis in range(1, int(found[1]) + 1 if found else 1):
        ids = flow.flat(ids, -axis)
    if not call.shape:
        return [expand(ids, flow.shape(value)) for value in call.node.meta["val"]]
    return ids


def _reduce(flow: Flow, call: Call) -> Any:
    if "other" in call.arguments:
        return _elementwise(flow, call)
    ids = flow.ids(flow.tensors(call)[0])
    dims = call.get("dim", ())
    dims = [dims] if isinstance(dims, int) else list(dims) or range(ids.dim())
    dims = sorted({d % ids.dim() for d in dims})
    result = reduced(flow, ids, tuple(dims))
    if not call.get("keepdim", False):
        for d in reversed(dims):
            result = result.select(d, 0)
    if isinstance(call.node.meta["val"], Tensor):
        return result
    return [result, result]


_RULES: dict[str, Rule] = {
    "linear": linear,
    **{f"conv{n}d": convolution for n in (1, 2, 3)},
    **{f"conv_transpose{n}d": convolution for n in (1, 2, 3)},
    "convolution": convolution,
    "embedding": embedding,
    **dict.fromkeys(["matmul", "bmm", "mm", "addmm", "baddbmm"], matmul),
    "scaled_dot_product_attention": attention,
    "batch_norm": batch_norm,
    "instance_norm": batch_norm,
    "layer_norm": layer_norm,
    "rms_norm": layer_norm,
    "group_norm": group_norm,
    "prelu": prelu,
    "glu": glu,
    "expand_as": _expand_as,
}
