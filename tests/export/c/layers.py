"""Layers with weights, drawn at random, for the tests' networks."""

import math

import numpy as np


def scale(rng) -> float:
    return float(np.float32(rng.uniform(0.002, 0.1)))


def zero(rng) -> int:
    return int(rng.integers(-128, 128))


def bytes_of(rng, shape):
    return rng.integers(-127, 128, shape, dtype=np.int8)


FEW = {
    "bytes": lambda _, w: w,
    "4 bits": lambda _, w: w >> 4,
    "2 bits": lambda _, w: w >> 6,
    "-1, 0 and 1": lambda _, w: np.sign(w >> 5),
    "16 values": lambda rng, w: rng.choice(bytes_of(rng, 16), w.shape),
    "3 values": lambda rng, w: rng.choice(bytes_of(rng, 3), w.shape),
    "half zeros": lambda rng, w: w * (rng.random(w.shape) < 0.5),
    "zeros": lambda rng, w: w * (rng.random(w.shape) < 0.1),
    "nearly all zero": lambda rng, w: w * (rng.random(w.shape) < 0.01),
    "zeros and 4 bits": lambda rng, w: (w >> 4) * (rng.random(w.shape) < 0.1),
    "zeros and 3 values": lambda rng, w: rng.choice([-90, 5, 70], w.shape) * (w > 90),
    "all zero": lambda _, w: w * 0,
}
"""Weights of few bits or values."""


def image(net, rng, groups=1):
    """Some map of the net, or a new input; as many channels as so many groups can share."""
    maps = [k for k in net.maps if net.tensors[k].shape[3] % groups == 0]
    if maps:
        index = int(rng.choice(maps))
        how = net.tensors[index].quantization
        shape = net.tensors[index].shape.tolist()
        return index, shape, float(how.scale[0]), int(how.zeroPoint[0])
    height, width = (int(n) for n in rng.integers(3, 10, 2))
    shape = [int(rng.integers(1, 3)), height, width, groups * int(rng.integers(1, 9 // groups))]
    s, z = scale(rng), zero(rng)
    return net.given(shape, s, z), shape, s, z


def windows(rng, shape, most=4):
    """Kernel, stride, dilation and padding, and the size that they leave."""
    kernel = [int(rng.integers(1, min(most, s) + 1)) for s in shape[1:3]]
    stride = [int(s) for s in rng.integers(1, 4, 2)]
    dilation = [1, 1]
    if stride == [1, 1]:
        dilation = [
            int(rng.integers(1, 3)) if (k - 1) * 2 < s else 1
            for k, s in zip(kernel, shape[1:3], strict=True)
        ]
    padding = int(rng.integers(0, 2))
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    if padding == 0:
        out = [math.ceil(s / t) for s, t in zip(shape[1:3], stride, strict=True)]
    else:
        out = [(s - k) // t + 1 for s, k, t in zip(shape[1:3], spans, stride, strict=True)]
    return kernel, stride, dilation, padding, out


def weights(net, rng, shape, axis, in_scale, is_per_channel=True):  # noqa: PLR0913, PLR0917
    out = shape[axis]
    scales = rng.uniform(0.001, 0.02, out if is_per_channel else 1).astype(np.float32)
    most_bias = 3000
    if net.is_extreme:  # factors from 2^-24 to 16, sums beyond 24 bits, weights of -128
        scales *= np.float32(2.0 ** rng.integers(-17, 10))
        most_bias = int(rng.choice([0, 1 << 20, 1 << 24]))
    values = bytes_of(rng, shape)
    if net.is_extreme:
        values[rng.random(shape) < 0.2] = -128
    elif rng.integers(0, 2):
        values = FEW[str(rng.choice(list(FEW)))](rng, values).astype(np.int8)
    w = net.constant(values, scales, axis=axis)
    bias = rng.integers(-most_bias, most_bias + 1, out, dtype=np.int32)
    return w, net.constant(bias, scales * np.float32(in_scale))


def result(net, rng, shape, fan=16):
    return net.tensor(shape, scale(rng) * math.sqrt(fan), zero(rng))


def conv_2d(net, rng):
    groups = int(rng.choice([1, 1, 2]))
    x, shape, s, _ = image(net, rng, groups)
    kernel, stride, dilation, padding, out = windows(rng, shape)
    filters = groups * int(rng.integers(1, 5))
    w_shape = [filters, *kernel, shape[3] // groups]
    w, b = weights(net, rng, w_shape, 0, s, bool(rng.integers(0, 2)))
    y = result(net, rng, [shape[0], *out, filters])
    return net.add(
        "CONV_2D", [x, w, b], [y], "Conv2DOptions", padding=padding, strideH=stride[0],
        strideW=stride[1], dilationHFactor=dilation[0], dilationWFactor=dilation[1],
        fusedActivationFunction=int(rng.choice([0, 1, 3])),
    )  # fmt: skip


def depthwise_conv_2d(net, rng):
    x, shape, s, _ = image(net, rng)
    kernel, stride, dilation, padding, out = windows(rng, shape)
    stride = [stride[0]] * 2 if dilation == [1, 1] else stride
    multiple = int(rng.integers(1, 3))
    filters = multiple * shape[3]
    if padding == 0:
        out = [math.ceil(size / t) for size, t in zip(shape[1:3], stride, strict=True)]
    else:
        spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
        out = [(n - k) // t + 1 for n, k, t in zip(shape[1:3], spans, stride, strict=True)]
    w, b = weights(net, rng, [1, *kernel, filters], 3, s)
    y = result(net, rng, [shape[0], *out, filters])
    return net.add(
        "DEPTHWISE_CONV_2D", [x, w, b], [y], "DepthwiseConv2DOptions", padding=padding,
        strideH=stride[0], strideW=stride[1], depthMultiplier=multiple,
        dilationHFactor=dilation[0], dilationWFactor=dilation[1],
        fusedActivationFunction=int(rng.choice([0, 1, 3])),
    )  # fmt: skip


def depthwise_3x3(net, rng):
    """As mobile networks have them: lines of either kind, both strides, one map or some."""
    height, width = (int(n) for n in rng.integers(3, 14, 2))
    shape = [int(rng.integers(1, 4)), height, width, int(rng.integers(1, 6))]
    s = scale(rng)
    x = net.given(shape, s, zero(rng))
    stride, padding = int(rng.integers(1, 4)), int(rng.integers(0, 2))
    out = [-(-n // stride) if padding == 0 else (n - 3) // stride + 1 for n in shape[1:3]]
    w, b = weights(net, rng, [1, 3, 3, shape[3]], 3, s)
    y = result(net, rng, [shape[0], *out, shape[3]], fan=9)
    return net.add(
        "DEPTHWISE_CONV_2D", [x, w, b], [y], "DepthwiseConv2DOptions", padding=padding,
        strideH=stride, strideW=stride, depthMultiplier=1, dilationHFactor=1, dilationWFactor=1,
        fusedActivationFunction=int(rng.choice([0, 1, 3])),
    )  # fmt: skip


def extreme(case):
    """The same with factors, sums and weights at their ends."""

    def made(net, rng):
        net.is_extreme = True
        found = case(net, rng)
        net.is_extreme = False
        return found

    return made


def fully_connected(net, rng):
    rows, each, out = (int(n) for n in rng.integers(1, 20, 3))
    s = scale(rng)
    x = net.given([rows, each], s, zero(rng))
    w, b = weights(net, rng, [out, each], 0, s, bool(rng.integers(0, 2)))
    y = result(net, rng, [rows, out])
    inputs = [x, w, b] if rng.integers(0, 3) else [x, w, -1]
    return net.add(
        "FULLY_CONNECTED", inputs, [y], "FullyConnectedOptions",
        fusedActivationFunction=int(rng.choice([0, 1, 3])),
    )  # fmt: skip


def transpose_conv(net, rng):
    x, shape, s, _ = image(net, rng)
    kernel = [int(k) for k in rng.integers(1, 5, 2)]
    stride = [int(k) for k in rng.integers(1, 4, 2)]
    padding, filters = int(rng.integers(0, 2)), int(rng.integers(1, 6))
    if padding == 0:
        out = [n * t for n, t in zip(shape[1:3], stride, strict=True)]
    else:
        out = [(n - 1) * t + max(k, t) for n, t, k in zip(shape[1:3], stride, kernel, strict=True)]
    w, b = weights(net, rng, [filters, *kernel, shape[3]], 0, s)
    sizes = net.constant(np.asarray([shape[0], *out, filters], np.int32))
    y = result(net, rng, [shape[0], *out, filters])
    return net.add(
        "TRANSPOSE_CONV", [sizes, w, x, b], [y], "TransposeConvOptions", padding=padding,
        strideH=stride[0], strideW=stride[1],
    )  # fmt: skip
