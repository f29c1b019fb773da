"""Products of two activations, above all attention; and what sums channels up."""

from typing import Any

from lilliput.graph.flow import Call, Flow
from lilliput.graph.ids import Ids, Reduce, Weight, compress, expand, fixed, varying

__all__ = ["attention", "matmul", "reduced"]


def reduced(flow: Flow, ids: Ids, dims: tuple[int, ...], is_part: bool = False) -> Ids:
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
        flow.tie_head(ids, own)
    return own.expand(result.shape)


def matmul(flow: Flow, call: Call) -> Any:
    """A product with a parameter makes channels; one of two activations passes them on."""
    a, b = flow.tensors(call)[-2:]
    result = _weighted(flow, a, b) if isinstance(b, Weight) else None
    if result is None:
        left, right = flow.ids(a), flow.ids(b)
        if left.dim() < 2 or right.dim() < 2:
            return flow.refuse(call)
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
    return reduced(flow, met, (met.dim() - 1,), is_part=True)


def attention(flow: Flow, call: Call) -> Any:
    """Ties a query's width to its key's; the values' channels come out."""
    query, key, value = (flow.ids(call[name]) for name in ("query", "key", "value"))
    tokens = query.shape[-2], key.shape[-2]
    query, key, value = (flow.flat(ids, -2) for ids in (query, key, value))
    if query.shape[-3] != key.shape[-3]:  # grouped queries: a key serves several heads
        times = query.shape[-3] // key.shape[-3]
        key, value = (x.repeat_interleave(times, -3) for x in (key, value))
        key, value = (expand(x, tuple(x.shape)) for x in (key, value))
    met = flow.meet(query, key)
    score = reduced(flow, met, (met.dim() - 1,), is_part=True)
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
        flow.tie_head(a, b)
    return flow.meet(a, b)
