"""Convolutions and dense layers."""

from dataclasses import replace

import numpy as np

from lilliput.core import ExportError, UnsupportedError
from lilliput.export.c.fixed_point import Multiplier, quantized
from lilliput.export.c.lower.overlap import distance
from lilliput.export.c.lower.step import Step, Windows, activation_range, check_shape, windows
from lilliput.export.c.network import Network, Operator, Tensor
from lilliput.export.format import Array

__all__ = ["convolution", "depthwise", "fully_connected", "transposed"]


def convolution(network: Network, operator: Operator) -> list[Step]:
    """A dense or a grouped convolution; weights are [out, height, width, in of a group]."""
    x, weights = network.read(operator, 0), network.read(operator, 1)
    out, each = weights.shape[0], weights.shape[3]
    if x.shape[3] % each or out % (x.shape[3] // each):
        raise UnsupportedError(f"{operator}: {x.shape[3]} channels for kernels that read {each}")
    found = _window(network, operator, out) | {"groups": x.shape[3] // each}
    length = weights.count // out
    step = _step("conv_2d_wide", network, operator, found, axis=0)
    is_gathered = length > each
    one_group = x.shape[0] == 1 and each == x.shape[3]
    distances = {0: distance(step, is_gathered)} if one_group else {}
    return [replace(step, scratch=length if is_gathered else 0, distances=distances)]


def depthwise(network: Network, operator: Operator) -> list[Step]:
    """Each channel by itself; weights are [1, height, width, out]."""
    x, weights = network.read(operator, 0), network.read(operator, 1)
    if weights.shape[3] % x.shape[3]:
        raise UnsupportedError(f"{operator}: {weights.shape[3]} filters for {x.shape[3]} channels")
    multiple = weights.shape[3] // x.shape[3]
    found = _window(network, operator, weights.shape[3]) | {"multiple": multiple}
    taps = weights.shape[1] * weights.shape[2]
    step = _step("depthwise_conv_2d", network, operator, found, axis=3)
    distances = {0: distance(step, taps > 1)} if x.shape[0] == 1 else {}
    return [replace(step, scratch=taps * x.shape[3] if taps > 1 else 0, distances=distances)]


def _window(network: Network, operator: Operator, filters: int) -> dict[str, int]:
    x, weights, y = network.read(operator, 0), network.read(operator, 1), network.written(operator)
    options = operator.options
    moves = Windows(
        (weights.shape[1], weights.shape[2]),
        (int(options["strideH"]), int(options["strideW"])),
        (int(options["dilationHFactor"]), int(options["dilationWFactor"])),
    )
    before, out = windows(operator, x.shape[1:3], moves)
    check_shape(operator, y, (x.shape[0], *out, filters))
    found = {
        "batch": x.shape[0],
        **_sizes("in", x.shape),
        **_sizes("out", y.shape),
        **_pair("kernel", moves.kernel),
        **_pair("stride", moves.stride),
        **_pair("dilation", moves.dilation),
        **_pair("pad", before),
        "in_zero": x.zero_point,
    }
    return {f"window.{name}": value for name, value in found.items()}


def _step(
    kernel: str, network: Network, operator: Operator, settings: dict[str, int], axis: int
) -> Step:
    """A call whose filters lie along an axis of the weights."""
    x, weights, y = network.read(operator, 0), network.read(operator, 1), network.written(operator)
    low, high = activation_range(operator, y)
    ends = {"out_zero": y.zero_point, "low": low, "high": high}
    step = Step(
        kernel,
        operator,
        (operator.source(),),
        operator.outputs[0],
        {**settings, **ends},
        {**_weights(network, operator, 1, 2), **_per_channel(operator, x, weights, y, axis)},
        macs=y.count * weights.count // weights.shape[axis],
    )
    return replace(step, arrays=_centred(network, operator, step, axis))


def fully_connected(network: Network, operator: Operator) -> list[Step]:
    """Weights are [out, in]; all axes before the last are rows."""
    x, weights, y = network.read(operator, 0), network.read(operator, 1), network.written(operator)
    out, each = weights.shape
    if x.count % each or y.count != x.count // each * out:
        raise ExportError(
            f"{operator}: {list(x.shape)} by {list(weights.shape)} is no {list(y.shape)}"
        )
    low, high = activation_range(operator, y)
    settings = {
        "rows": x.count // each,
        "in_channels": each,
        "out_channels": out,
        "out_zero": y.zero_point,
        "low": low,
        "high": high,
    }
    if len(weights.scales) > 1:
        scaling = _per_channel(operator, x, weights, y, 0)
    else:  # TensorFlow Lite multiplies the two scales in single precision here
        factor = float(x.scale) * float(weights.scale) / float(y.scale)
        scaling = _arrays([quantized(factor)] * out)
    arrays = {**_weights(network, operator, 1, 2), **scaling}
    step = Step(
        "fully_connected_wide",
        operator,
        (operator.source(),),
        operator.outputs[0],
        settings,
        arrays,
        macs=x.count * out,
    )
    return [replace(step, arrays=_centred(network, operator, step, 0))]


def transposed(network: Network, operator: Operator) -> list[Step]:
    """A transposed convolution; weights are [out, height, width, in]."""
    x, weights, y = network.read(operator, 2), network.read(operator, 1), network.written(operator)
    options = operator.options
    strides = int(options["strideH"]), int(options["strideW"])
    moves = Windows((weights.shape[1], weights.shape[2]), strides)
    before, size = windows(operator, y.shape[1:3], moves)
    check_shape(operator, x, (y.shape[0], *size, weights.shape[3]))
    check_shape(operator, y, (x.shape[0], *y.shape[1:3], weights.shape[0]))
    low, high = activation_range(operator, y)
    settings = {
        "batch": x.shape[0],
        **_sizes("in", x.shape),
        **_sizes("out", y.shape),
        **_pair("kernel", moves.kernel),
        **_pair("stride", strides),
        **_pair("pad", before),
        "in_zero": x.zero_point,
        "out_zero": y.zero_point,
        "low": low,
        "high": high,
    }
    arrays = {**_weights(network, operator, 1, 3), **_per_channel(operator, x, weights, y, 0)}
    reads = (operator.source(2),)
    macs = x.count * weights.count // weights.shape[3]
    return [
        Step("transpose_conv", operator, reads, operator.outputs[0], settings, arrays, macs=macs)
    ]


def _weights(network: Network, operator: Operator, weights: int, bias: int) -> dict[str, Array]:
    held = network.constant(operator, weights)
    tensor = network.read(operator, weights)
    if held.dtype != np.int8 or any(tensor.zero_points):
        raise UnsupportedError(
            f"{operator}: weights must be int8 around 0, are {tensor.dtype} around "
            f"{sorted(set(tensor.zero_points))}"
        )
    has_bias = len(operator.inputs) > bias and operator.inputs[bias] is not None
    out = network.written(operator).shape[-1]
    values = network.constant(operator, bias) if has_bias else np.zeros(out, np.int32)
    if values.dtype != np.int32 or values.size != out:
        raise UnsupportedError(f"{operator}: the bias must be {out} int32")
    return {"weights": held.reshape(-1), "bias": values.reshape(-1)}


def _centred(network: Network, operator: Operator, step: Step, axis: int) -> dict[str, Array]:
    """The step's constants, the input's zero point moved into the bias."""
    weights = np.moveaxis(network.constant(operator, 1), axis, 0)
    sums = weights.reshape(len(weights), -1).astype(np.int64).sum(1)
    bias = step.arrays["bias"] - network.read(operator, 0).zero_point * sums
    if np.abs(bias).max() >= 1 << 31:
        raise ExportError(f"{operator}: a bias is out of range")
    return {**step.arrays, "bias": bias.astype(np.int32)}


def _per_channel(
    operator: Operator, x: Tensor, weights: Tensor, y: Tensor, axis: int
) -> dict[str, Array]:
    out = weights.shape[axis]
    if len(weights.scales) not in (1, out) or (len(weights.scales) > 1 and weights.axis != axis):
        raise UnsupportedError(f"{operator}: {len(weights.scales)} scales for {out} filters")
    factors = np.float64(x.scale) * weights.scales.astype(np.float64) / np.float64(y.scale)
    found = [quantized(float(factor)) for factor in factors]
    return _arrays(found * out if len(found) == 1 else found)


def _arrays(multipliers: list[Multiplier]) -> dict[str, Array]:
    return {
        "multiplier": np.asarray([m.mantissa for m in multipliers], np.int32),
        "shift": np.asarray([m.shift for m in multipliers], np.int8),
    }


def _sizes(whose: str, shape: tuple[int, ...]) -> dict[str, int]:
    _, height, width, channels = shape
    return {f"{whose}_height": height, f"{whose}_width": width, f"{whose}_channels": channels}


def _pair(what: str, values: tuple[int, ...]) -> dict[str, int]:
    return {f"{what}_height": int(values[0]), f"{what}_width": int(values[1])}
