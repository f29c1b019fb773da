"""Channels that are always the same, or that nobody reads, leave the network; its answers stay."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from lilliput.export.c.fixed_point import Multiplier, scaled, scaled_once
from lilliput.export.c.lower.convolutions import convolution, depthwise, fully_connected
from lilliput.export.c.lower.pools import mean
from lilliput.export.c.lower.step import Step
from lilliput.export.c.lower.tables import TABLES, table
from lilliput.export.c.network import Network, Operator, Tensor
from lilliput.export.format import Array

__all__ = ["without_dead_channels"]

_CHANGES = 1 << 15
"""Stands for a channel whose value is not always the same."""
_POOLS = ("AVERAGE_POOL_2D", "MAX_POOL_2D")
_READERS = ("CONV_2D", "FULLY_CONNECTED")
_FILTERS = {"CONV_2D": 0, "FULLY_CONNECTED": 0, "DEPTHWISE_CONV_2D": 3}
"""The axis of the weights along which the filters lie."""

_Fixed = dict[int, Array]
_Kept = dict[int, Array]


def without_dead_channels(network: Network) -> Network:
    """The network without what cannot change its outputs, in exact arithmetic.

    Forwards, a channel is always the same if its filter reads nothing, or only such channels; what
    reads it gets its share with the bias. Zeros around a map count as its zero point, so a channel
    of another value goes only where no reader pads. Backwards, a channel goes that no filter reads
    that stays. Ends of the network keep all channels, and so does what is neither a convolution,
    a dense layer, a pool, a mean nor a function of one number.
    """
    fixed = _fixed(network)
    kept = _kept(network, fixed)
    tensors = list(network.tensors)
    for index, keep in kept.items():
        if not keep.all():
            tensors[index] = _sliced(tensors[index], keep, -1)
    for operator in network.operators:
        if operator.kind in _FILTERS and _is_open(network, operator):
            _slice_weights(network, operator, fixed, kept, tensors)
    return replace(network, tensors=tuple(tensors))


def _fixed(network: Network) -> _Fixed:
    """For each tensor the value of each channel, where it is always the same."""
    fixed: _Fixed = {}
    for operator in network.operators:
        y = network.written(operator)
        found = np.full(y.shape[-1] if y.shape else 1, _CHANGES)
        if _is_open(network, operator):
            given = fixed.get(operator.source(), np.full(_channels(network, operator), _CHANGES))
            found = _VALUES[operator.kind](network, operator, given)
        fixed[operator.outputs[0]] = found
    return fixed


def _kept(network: Network, fixed: _Fixed) -> _Kept:
    """For each tensor which channels somebody needs; at least one."""
    tensors = network.tensors
    kept = {
        index: np.zeros(tensor.shape[-1] if tensor.shape else 1, bool)
        for index, tensor in enumerate(tensors)
        if tensor.data is None
    }
    for index in (*network.inputs, *network.outputs):
        kept[index][:] = True
    before = -1
    while before != (before := sum(int(keep.sum()) for keep in kept.values())):
        for operator in reversed(network.operators):
            _keep_what_is_read(network, operator, fixed, kept)
    return kept


def _keep_what_is_read(network: Network, operator: Operator, fixed: _Fixed, kept: _Kept) -> None:
    if not _is_open(network, operator):
        for index in (*operator.inputs, *operator.outputs):
            if index is not None and index in kept:
                kept[index][:] = True
        return
    out, source = kept[operator.outputs[0]], operator.source()
    if not out.any():
        out[0] = True
    if operator.kind in _READERS:
        kept[source] |= _needed(network, operator, fixed.get(source), out)
    else:  # channels go through one by one
        kept[source] |= out
        out |= kept[source]


def _needed(network: Network, operator: Operator, given: Array | None, out: Array) -> Array:
    """Channels that a filter reads that stays, and that do not go with its bias."""
    weights = network.constant(operator, 1)[out]
    is_read = (weights != 0).reshape(-1, weights.shape[-1]).any(0)
    if given is None:
        return np.asarray(is_read)
    return np.asarray(is_read & ~_foldable(network, operator, given))


def _foldable(network: Network, operator: Operator, given: Array) -> Array:
    """Channels whose share of every output is always the same."""
    is_zero = np.asarray(given == network.read(operator, 0).zero_point)
    if _pads(network, operator) or _bias(operator) is None:
        return is_zero
    return np.asarray(is_zero | (given != _CHANGES))


def _pads(network: Network, operator: Operator) -> bool:
    """Whether a kernel may look over the edge of the map."""
    if operator.kind == "FULLY_CONNECTED":
        return False
    weights = network.read(operator, 1)
    is_inside = int(operator.options.get("padding") or 0) == 1 and "around" not in operator.options
    return not is_inside and weights.shape[1:3] != (1, 1)


def _is_open(network: Network, operator: Operator) -> bool:
    """Whether channels may leave what the operator reads and writes."""
    if operator.kind not in _VALUES or network.read(operator, 0).data is not None:
        return False
    x, y = network.read(operator, 0), network.written(operator)
    if operator.kind in _FILTERS and not _owns_constants(network, operator):
        return False
    if operator.kind in _READERS:
        return network.read(operator, 1).shape[-1] == x.shape[-1]
    if operator.kind == "MEAN":
        axes = {int(axis) % len(x.shape) for axis in network.constant(operator, 1).reshape(-1)}
        return len(x.shape) - 1 not in axes
    return bool(x.shape and y.shape and x.shape[-1] == y.shape[-1])


def _owns_constants(network: Network, operator: Operator) -> bool:
    """Whether weights and bias are constant, and nobody else's."""
    own = [index for index in operator.inputs[1:] if index is not None]
    every = [index for other in network.operators for index in other.inputs]
    return all(network.tensors[i].data is not None and every.count(i) == 1 for i in own)


def _channels(network: Network, operator: Operator) -> int:
    return network.read(operator, 0).shape[-1]


def _filtered(network: Network, operator: Operator, given: Array) -> Array:
    """A convolution or a dense layer."""
    step = {"CONV_2D": convolution, "FULLY_CONNECTED": fully_connected}[operator.kind](
        network, operator
    )[0]
    weights = network.constant(operator, 1)
    weights = weights.reshape(len(weights), -1, weights.shape[-1]).astype(np.int64)
    folds = _foldable(network, operator, given)
    moves = (weights != 0).any(1)[:, ~folds].any(1)
    shares = weights.sum(1)[:, folds] @ (given[folds] - network.read(operator, 0).zero_point)
    return np.where(moves, _CHANGES, _answers(step, shares, _biases(network, operator)))


def _by_channel(network: Network, operator: Operator, given: Array) -> Array:
    step = depthwise(network, operator)[0]
    weights = network.constant(operator, 1).reshape(-1, len(given)).astype(np.int64)
    folds = _foldable(network, operator, given) | ~(weights != 0).any(0)
    centred = np.where(given == _CHANGES, 0, given - network.read(operator, 0).zero_point)
    answers = _answers(step, weights.sum(0) * centred, _biases(network, operator))
    return np.where(folds, answers, _CHANGES)


def _biases(network: Network, operator: Operator) -> Array:
    if _bias(operator) is None:
        return np.zeros(network.written(operator).shape[-1], np.int64)
    return network.constant(operator, 2).reshape(-1).astype(np.int64)


def _answers(step: Step, shares: Array, bias: Array) -> Array:
    """What comes out for sums that lack only the bias."""
    once = step.kernel == "fully_connected_wide"
    sums = shares + bias
    multipliers = zip(
        step.arrays["multiplier"].tolist(), step.arrays["shift"].tolist(), strict=True
    )
    run = scaled_once if once else scaled
    found = [
        int(run(np.asarray([total]), Multiplier(*by))[0])
        for total, by in zip(sums.tolist(), multipliers, strict=True)
    ]
    settings = step.settings
    whole = np.asarray(found) + settings["out_zero"]
    return np.asarray(np.clip(whole, settings["low"], settings["high"]))


def _looked_up(network: Network, operator: Operator, given: Array) -> Array:
    answers = table(network, operator)[0].arrays["table"].astype(np.int64)
    return np.where(given == _CHANGES, _CHANGES, answers[np.clip(given, -128, 127) + 128])


def _pooled(_network: Network, _operator: Operator, given: Array) -> Array:
    return given


def _mean(network: Network, operator: Operator, given: Array) -> Array:
    settings = mean(network, operator)[0].settings
    by = Multiplier(settings["multiplier"], settings["shift"])
    found = scaled((given - settings["in_zero"]) * settings["count"], by) + settings["out_zero"]
    return np.where(given == _CHANGES, _CHANGES, np.clip(found, -128, 127))


_VALUES: Mapping[str, Callable[[Network, Operator, Array], Array]] = {
    "CONV_2D": _filtered,
    "FULLY_CONNECTED": _filtered,
    "DEPTHWISE_CONV_2D": _by_channel,
    "MEAN": _mean,
    "RESHAPE": _pooled,
    **dict.fromkeys(_POOLS, _pooled),
    **dict.fromkeys(TABLES, _looked_up),
}


def _slice_weights(
    network: Network, operator: Operator, fixed: _Fixed, kept: _Kept, tensors: list[Tensor]
) -> None:
    """Drops filters that go and what they read that goes; the bias takes over what was fixed."""
    source, axis = operator.source(), _FILTERS[operator.kind]
    out = kept[operator.outputs[0]]
    weights, bias = operator.source(1), _bias(operator)
    held = network.constant(operator, 1)
    if bias is not None and operator.kind in _READERS and source in fixed:
        given = fixed[source]
        gone = ~kept[source] & _foldable(network, operator, given)
        sums = held.reshape(len(held), -1, held.shape[-1]).astype(np.int64).sum(1)
        share = sums[:, gone] @ (given[gone] - network.read(operator, 0).zero_point)
        values = network.constant(operator, 2).reshape(-1) + share
        tensors[bias] = replace(tensors[bias], data=values.astype(np.int32))
    if bias is not None:
        tensors[bias] = _sliced(tensors[bias], out, 0)
    tensors[weights] = _sliced(tensors[weights], out, axis)
    if operator.kind in _READERS:
        tensors[weights] = _sliced(tensors[weights], kept[source], -1)


def _bias(operator: Operator) -> int | None:
    return operator.inputs[2] if len(operator.inputs) > 2 else None


def _sliced(tensor: Tensor, keep: Array, axis: int) -> Tensor:
    """The tensor with some of its places along an axis."""
    axis %= len(tensor.shape)
    shape = tuple(int(keep.sum()) if a == axis else n for a, n in enumerate(tensor.shape))
    data = None if tensor.data is None else np.compress(keep, tensor.data, axis)
    scales, zeros = tensor.scales, tensor.zero_points
    if len(scales) > 1 and tensor.axis == axis:
        scales = scales[keep]
        zeros = tuple(z for z, stays in zip(zeros, keep, strict=True) if stays)
    return replace(tensor, shape=shape, data=data, scales=scales, zero_points=zeros)
