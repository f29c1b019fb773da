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

from lilliput.graph.flow import Call, Flow
from lilliput.graph.graph import Graph, operator_of
from lilliput.graph.ids import Grid, Ids, Reduce, Weight, compress, expand, fixed, pair, varying

__all__ = ["MOVES", "arguments_of", "follow", "move"]

Rule = Callable[[Flow, Call], Any]

MOVES = frozenset(
    """view reshape _unsafe_view view_as reshape_as flatten unflatten permute transpose t numpy_T
    movedim moveaxis swapaxes swapdims slice select narrow cat concat concatenate stack hstack vstack
    split split_with_sizes chunk tensor_split unsafe_split unsafe_chunk unbind expand expand_as
    broadcast_to repeat repeat_interleave tile flip roll squeeze unsqueeze pixel_shuffle
    pixel_unshuffle channel_shuffle unfold rot90 index_select index pad constant_pad_nd""".split()
)
_SAME = frozenset(
    """clone contiguous detach alias _to_copy to dropout feature_dropout alpha_dropout type_as
    lift_fresh_copy lift_fresh zeros_like ones_like full_like empty_like rand_like randn_like tril
    triu requires_grad_""".split()
)
_ELEMENTWISE = frozenset("rsub __and__ __or__ __xor__ hardswish selu relu6 masked_fill".split())
_ALONG = frozenset("softmax log_softmax _softmax _log_softmax cumsum cumprod logcumsumexp".split())
_REDUCE = frozenset(
    "mean sum amax amin var std logsumexp linalg_vector_norm norm max min any all prod".split()
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


def arguments_of(node: Node, values: Any) -> dict[str, Any]:
    """Names a call's arguments by its schema, defaults included."""
    schema = node.target._schema  # type: ignore[union-attr]  # noqa: SLF001
    named = {a.name: a.default_value for a in schema.arguments if a.has_default_value()}
    named.update(zip((a.name for a in schema.arguments), values[0], strict=False))
    return {**named, **values[1]}


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
    if name in MOVES:
        return _move
    if name in _SAME:
        return _same
    if name in _ALONG:
        return _along
    if _SPATIAL.match(name):
        return _spatial
    tags = getattr(node.target, "tags", ())
    if name in _ELEMENTWISE or torch.Tag.pointwise in tags:
        return _elementwise
    return _reduce if name in _REDUCE else _unknown


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
    dims = call.get("dim", list(range(ids.dim())))
    dims = sorted({d % ids.dim() for d in ([dims] if isinstance(dims, int) else dims)})
    result = _reduced(flow, ids, tuple(dims))
    if not call.get("keepdim", False):
        for d in reversed(dims):
            result = result.select(d, 0)
    if isinstance(call.node.meta["val"], Tensor):
        return result
    return [result, result]


def _reduced(flow: Flow, ids: Ids, dims: tuple[int, ...], is_part: bool = False) -> Ids:
    """One value for all positions along `dims`, which stay as axes of one position."""
    result = ids
    for d in dims:
        result = result.narrow(d, 0, 1)
    if not set(varying(ids)) & set(dims):
        return result
    if not varying(result):
        return fixed(tuple(result.shape))
    short = compress(result)
    own = flow.new(*short.shape)
    flow.later.append(Reduce(ids, dims, own))
    if is_part:
        flow.parts.append(pair(ids, own))
    return own.expand(result.shape)


def _unknown(flow: Flow, call: Call) -> Any:
    for value in flow.tensors(call):
        flow.stop(call.node, "ids cannot be followed through this operator", flow.ids(value))
    out = call.node.meta.get("val")
    if isinstance(out, list | tuple):
        return [fixed(flow.shape(value)) for value in out]
    return fixed(flow.shape(out))


# --- data movement -------------------------------------------------------------------------------


def _move(flow: Flow, call: Call) -> Any:
    name = operator_of(call.node)
    first = call.arguments.get("self")
    if isinstance(first, Weight) and name in {"t", "numpy_T", "transpose", "permute"}:
        axes = torch.empty(tuple(range(len(first.shape))), device="meta")
        return first.permute(tuple(move(call.node, {**call.arguments, "self": axes}).shape))
    if name in {"index_select", "index"}:
        return _index(flow, call)
    if name in {"pad", "constant_pad_nd"}:
        return _pad(flow, call)
    result = move(call.node, {key: _as_ids(flow, value) for key, value in call.arguments.items()})
    if name == "channel_shuffle":
        flow.later.append(Grid(flow.along(flow.ids(first), 1).reshape(call["groups"], -1)))
    pieces = [result] if isinstance(result, Tensor) else list(result)
    pieces = [expand(ids, tuple(ids.shape)) for ids in pieces]
    for ids in pieces:
        flow.grid(ids)
    return pieces[0] if isinstance(result, Tensor) else pieces


def move(node: Node, arguments: dict[str, Any]) -> Any:
    """Runs a data movement on ids, given its arguments by name."""
    name = operator_of(node)
    if name in {"view", "_unsafe_view"}:
        return arguments["self"].reshape(arguments["size"])
    if name in {"view_as", "reshape_as"}:
        return arguments["self"].reshape(arguments["other"].shape)
    return node.target(**arguments)  # type: ignore[operator]


def _as_ids(flow: Flow, value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_as_ids(flow, item) for item in value]
    return flow.ids(value) if isinstance(value, Weight) else value


def _pad(flow: Flow, call: Call) -> Any:
    """Padded positions along a channel axis are new channels, which nothing made."""
    ids, amounts = flow.ids(call["self"]), list(call["pad"])
    lines = varying(ids)
    for i in range(0, len(amounts), 2):
        axis = ids.dim() - 1 - i // 2
        front, back = amounts[i : i + 2]
        if axis not in lines:
            sizes = list(ids.shape)
            sizes[axis] += front + back
            ids = ids.narrow(axis, 0, 1).expand(sizes)
        elif call.get("mode", "constant") != "constant":
            flow.stop(call.node, "it repeats channels by position", ids)
            return fixed(call.shape)
        else:
            ids = _pad_axis(flow, ids, axis, front, back)
    flow.grid(ids)
    return ids


def _pad_axis(flow: Flow, ids: Ids, axis: int, front: int, back: int) -> Ids:
    first, last = max(0, -front), ids.shape[axis] - max(0, -back)
    pieces = [ids.narrow(axis, first, last - first)]
    sizes = list(ids.shape)
    for amount, place in ((front, 0), (back, len(pieces))):
        if amount > 0:
            line = flow.new(amount).view([-1 if d == axis else 1 for d in range(ids.dim())])
            sizes[axis] = amount
            pieces.insert(place if place == 0 else len(pieces), line.expand(sizes))
    return torch.cat(pieces, axis)


def _index(flow: Flow, call: Call) -> Any:
    """Positions known when the network is traced are picked; others must not touch channels."""
    ids = flow.ids(call["self"])
    picks = call["indices"] if "indices" in call.arguments else [call["index"]]
    ahead = call.get("dim", 0) % ids.dim()
    known = [_constant(flow, pick) for pick in picks]
    touched = [ahead + i for i, pick in enumerate(picks) if pick is not None]
    if any(k is None and p is not None for k, p in zip(known, picks, strict=True)) and (
        set(touched) & set(varying(ids))
    ):
        flow.stop(call.node, "it picks channels by computed positions", ids)
        return fixed(call.shape)
    known = [
        torch.zeros(tuple(p.shape), dtype=torch.long) if k is None and p is not None else k
        for k, p in zip(known, picks, strict=True)
    ]
    if "indices" not in call.arguments:
        return ids.index_select(ahead, known[0])
    if any(k is not None and k.dtype == torch.bool for k in known):
        flow.stop(call.node, "it picks positions by a mask", ids)
        return fixed(call.shape)
    return torch.ops.aten.index(ids, known)


def _constant(flow: Flow, value: Any) -> Tensor | None:
    """The numbers of an index that is part of the network."""
    if not isinstance(value, Weight) or len(value.parts) != 1:
        return None
    name = value.parts[0][0]
    program = flow.graph.program
    tensor = program.state_dict.get(name, program.constants.get(name))
    return tensor.detach().cpu() if isinstance(tensor, Tensor) else None


# --- what makes channels -------------------------------------------------------------------------


def _linear(flow: Flow, call: Call) -> Any:
    ids, weight = flow.ids(call["input"]), call["weight"]
    if not isinstance(weight, Weight) or not isinstance(call["bias"], Weight | None):
        return _unknown(flow, call)
    if varying(ids) and ids.dim() - 1 not in varying(ids):
        return flow.flat(ids, -1)  # it runs over an axis that holds no channels, such as tokens
    flow.consume(weight, 1, flow.along(ids, -1))
    out = flow.produce(weight, 0, weight.shape[0])
    flow.attach(call["bias"], out)
    return out


def _convolution(flow: Flow, call: Call) -> Any:
    is_transposed = "transpose" in operator_of(call.node) or bool(call.get("transposed", False))
    weight, bias, groups = call["weight"], call["bias"], call["groups"]
    if not isinstance(weight, Weight) or not isinstance(bias, Weight | None):
        return _unknown(flow, call)
    ids = flow.ids(call["input"])
    axis = ids.dim() - len(weight.shape) + 1
    before = flow.along(ids, axis)
    outs = call.shape[axis]
    if groups == 1:
        flow.consume(weight, 0 if is_transposed else 1, before)
        out = flow.produce(weight, 1 if is_transposed else 0, outs)
    elif groups == len(before):
        out = before.repeat_interleave(outs // groups)
        flow.attach(weight, _lay(before if is_transposed else out, weight))
    else:
        out = _grouped(flow, weight, before.reshape(groups, -1), outs, is_transposed)
    flow.attach(bias, out)
    return out.view([-1 if d == axis else 1 for d in range(ids.dim())])


def _lay(rows: Ids, weight: Weight) -> Ids:
    return rows.reshape(*rows.shape, *[1] * (len(weight.shape) - rows.dim()))


def _grouped(flow: Flow, weight: Weight, before: Ids, outs: int, is_transposed: bool) -> Ids:
    """Each group keeps equally many channels; or whole groups go, with all they read and make."""
    groups = len(before)
    out = flow.new(outs)
    after = out.view(groups, -1)
    rows, columns = (before, after) if is_transposed else (after, before)
    flow.attach(weight, _lay(rows.reshape(-1), weight))
    flow.attach(weight, _lay(columns.repeat_interleave(rows.shape[1], 0), weight))
    flow.producers.append((weight.parts[0][0], out))
    flow.later += [Grid(before), Grid(after)]
    flow.parts += [pair(before, before[:, :1]), pair(after, before[:, :1])]
    return out


def _embedding(flow: Flow, call: Call) -> Any:
    weight = call["weight"]
    if not isinstance(weight, Weight):
        return _unknown(flow, call)
    flow.consume(weight, 0, fixed((weight.shape[0],)))
    return flow.produce(weight, 1, weight.shape[1])


def _matmul(flow: Flow, call: Call) -> Any:
    a, b = flow.tensors(call)[-2:]
    result = _weighted(flow, a, b) if isinstance(b, Weight) else None
    if result is None:
        left, right = flow.ids(a), flow.ids(b)
        if left.dim() < 2 or right.dim() < 2:
            return _unknown(flow, call)
        result = _product(flow, call, left, right)
    result = expand(result, call.shape)
    for other in flow.tensors(call)[:-2]:
        if isinstance(other, Weight):
            result = flow.meet_weight(result, other)
        else:
            result = flow.meet(result, other)
    return result


def _weighted(flow: Flow, a: Ids | Weight, weight: Weight) -> Ids | None:
    """A tensor times a parameter: a linear layer written by hand."""
    ids = flow.ids(a)
    if len(weight.shape) != 2 or (varying(ids) and ids.dim() - 1 not in varying(ids)):
        return None
    flow.consume(weight, 0, flow.along(ids, -1))
    out = flow.produce(weight, 1, weight.shape[1])
    return out.expand(*ids.shape[:-1], -1)


def _product(flow: Flow, call: Call, a: Ids, b: Ids) -> Ids:
    """Contracts the last axis of `a` with the last but one of `b`."""
    rows, columns = a.dim() - 2 in varying(a), b.dim() - 1 in varying(b)
    inner = a.dim() - 1 in varying(a), b.dim() - 2 in varying(b)
    if (rows and columns) or (rows and inner[0]) or (columns and inner[1]):
        flow.stop(call.node, "its result would have channels along two axes", a)
        flow.stop(call.node, "its result would have channels along two axes", b)
        return fixed(call.shape)
    if rows or columns:
        for ids, is_inner, axis in ((a, inner[0], -1), (b, inner[1], -2)):
            if is_inner:
                flow.fix(ids)
            flow.flat(ids, axis)
        return _weigh(flow, a.narrow(-1, 0, 1), b.narrow(-2, 0, 1))
    left, right = a.narrow(-2, 0, 1), b.narrow(-1, 0, 1).transpose(-1, -2)
    met = flow.meet(left, right)
    return _reduced(flow, met, (met.dim() - 1,), is_part=True)


def _attention(flow: Flow, call: Call) -> Any:
    query, key, value = (flow.ids(call[name]) for name in ("query", "key", "value"))
    tokens = query.shape[-2], key.shape[-2]
    query, key, value = (flow.flat(ids, -2) for ids in (query, key, value))
    if query.shape[-3] != key.shape[-3]:  # grouped queries: a key serves several heads
        times = query.shape[-3] // key.shape[-3]
        key, value = (x.repeat_interleave(times, -3) for x in (key, value))
        key, value = (expand(x, tuple(x.shape)) for x in (key, value))
    met = flow.meet(query, key)
    score = _reduced(flow, met, (met.dim() - 1,), is_part=True)
    mask = call.get("attn_mask")
    if mask is not None:
        wide = score.expand(*score.shape[:-2], *tokens)
        if isinstance(mask, Weight):
            flow.meet_weight(wide, mask)
        else:
            flow.meet(wide, mask)
    return _weigh(flow, score, value)


def _weigh(flow: Flow, a: Ids, b: Ids) -> Ids:
    """The scores of a head weigh its values: without the one the other goes too."""
    if set(varying(a)) & set(varying(b)):
        flow.parts.append(pair(a, b))
    return flow.meet(a, b)


# --- norms ---------------------------------------------------------------------------------------


def _batch_norm(flow: Flow, call: Call) -> Any:
    ids = flow.ids(call["input"])
    line = flow.along(ids, 1)
    for name in ("weight", "bias", "running_mean", "running_var"):
        flow.attach(call[name], line)
    return ids


def _layer_norm(flow: Flow, call: Call) -> Any:
    ids = flow.ids(call["input"])
    for name in ("weight", "bias"):
        if isinstance(call.get(name), Weight):
            flow.meet_weight(ids, call[name])
    return ids


def _group_norm(flow: Flow, call: Call) -> Any:
    ids = flow.ids(call["input"])
    line = flow.along(ids, 1)
    for name in ("weight", "bias"):
        flow.attach(call[name], line)
    rows = line.reshape(call["num_groups"], -1)
    if rows.shape[0] > 1:
        flow.later.append(Grid(rows))
        flow.parts.append(pair(rows, rows[:, :1]))
    return ids


def _prelu(flow: Flow, call: Call) -> Any:
    ids = flow.ids(call["self"])
    weight = call["weight"]
    if isinstance(weight, Weight) and weight.shape != (1,):
        flow.attach(weight, flow.along(ids, 1))
    return ids


def _glu(flow: Flow, call: Call) -> Any:
    first, second = flow.ids(call["self"]).chunk(2, call["dim"])
    return flow.meet(*(expand(x, tuple(x.shape)) for x in (first, second)))


_RULES: dict[str, Rule] = {
    "linear": _linear,
    **dict.fromkeys(
        ["conv1d", "conv2d", "conv3d", "convolution"]
        + ["conv_transpose1d", "conv_transpose2d", "conv_transpose3d"],
        _convolution,
    ),
    "embedding": _embedding,
    **dict.fromkeys(["matmul", "bmm", "mm", "addmm", "baddbmm"], _matmul),
    "scaled_dot_product_attention": _attention,
    "batch_norm": _batch_norm,
    "instance_norm": _batch_norm,
    "layer_norm": _layer_norm,
    "rms_norm": _layer_norm,
    "group_norm": _group_norm,
    "prelu": _prelu,
    "glu": _glu,
}
