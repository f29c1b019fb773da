"""Layers: what reads channels, what makes new ones, and the norms between."""

from typing import Any

from lilliput.graph.flow import Call, Flow
from lilliput.graph.graph import operator_of
from lilliput.graph.ids import Grid, Ids, Weight, expand, fixed, pair, varying

__all__ = [
    "batch_norm",
    "convolution",
    "embedding",
    "glu",
    "group_norm",
    "layer_norm",
    "linear",
    "prelu",
]


def linear(flow: Flow, call: Call) -> Any:
    """Reads the last axis; over an axis without channels, such as tokens, they pass."""
    ids, weight = flow.ids(call["input"]), call["weight"]
    if not isinstance(weight, Weight) or not isinstance(call["bias"], Weight | None):
        return flow.refuse(call)
    if varying(ids) and ids.dim() - 1 not in varying(ids):
        return flow.flat(ids, -1)
    flow.consume(weight, 1, flow.along(ids, -1))
    out = flow.produce(weight, 0, weight.shape[0])
    flow.attach(call["bias"], out)
    return out


def convolution(flow: Flow, call: Call) -> Any:
    """Reads and makes channels; depthwise and grouped ones keep their balance."""
    is_transposed = "transpose" in operator_of(call.node) or bool(call.get("transposed", False))
    weight, bias, groups = call["weight"], call["bias"], call["groups"]
    if not isinstance(weight, Weight) or not isinstance(bias, Weight | None):
        return flow.refuse(call)
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


def embedding(flow: Flow, call: Call) -> Any:
    """Makes the features of each row; the rows are a vocabulary and stay."""
    weight = call["weight"]
    if not isinstance(weight, Weight):
        return flow.refuse(call)
    flow.consume(weight, 0, fixed((weight.shape[0],)))
    return flow.produce(weight, 1, weight.shape[1])


def batch_norm(flow: Flow, call: Call) -> Any:
    """Keeps a value of each parameter and statistic for each channel."""
    ids = flow.ids(call["input"])
    line = flow.along(ids, 1)
    for name in ("weight", "bias", "running_mean", "running_var"):
        flow.attach(call[name], line)
    return ids


def layer_norm(flow: Flow, call: Call) -> Any:
    """Keeps a weight for each position it normalises."""
    ids = flow.ids(call["input"])
    for name in ("weight", "bias"):
        if isinstance(call.get(name), Weight):
            flow.meet_weight(ids, call[name])
    return ids


def group_norm(flow: Flow, call: Call) -> Any:
    """Keeps a weight for each channel, and equally many channels in each group."""
    ids = flow.ids(call["input"])
    line = flow.along(ids, 1)
    for name in ("weight", "bias"):
        flow.attach(call[name], line)
    rows = line.reshape(call["num_groups"], -1)
    if rows.shape[0] > 1:
        flow.later.append(Grid(rows))
        flow.parts.append(pair(rows, rows[:, :1]))
    return ids


def prelu(flow: Flow, call: Call) -> Any:
    """Keeps a slope for each channel, or one for all."""
    ids = flow.ids(call["self"])
    weight = call["weight"]
    if isinstance(weight, Weight) and weight.shape != (1,):
        flow.attach(weight, flow.along(ids, 1))
    return ids


def glu(flow: Flow, call: Call) -> Any:
    """Ties the gates to what they gate."""
    first, second = flow.ids(call["self"]).chunk(2, call["dim"])
    return flow.meet(*(expand(x, tuple(x.shape)) for x in (first, second)))
