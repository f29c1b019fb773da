"""Every operator with settings drawn at random, by name."""

import math

import numpy as np
from tests.export.c.layers import (
    bytes_of,
    conv_2d,
    depthwise_3x3,
    depthwise_conv_2d,
    extreme,
    fully_connected,
    image,
    scale,
    transpose_conv,
    windows,
    zero,
)


def two(kind, options):
    def case(net, rng):
        x, shape, first, _ = image(net, rng)
        other = [1 if rng.integers(0, 4) == 0 else n for n in shape]
        other = other[int(rng.integers(0, 2)) :]
        second = scale(rng)
        if rng.integers(0, 2):
            b = net.given(other, second, zero(rng))
        else:
            b = net.constant(bytes_of(rng, other), second, zero(rng))
        # LiteRT ends the process where sums of 20 more bits are not made smaller
        ends = 2.0**-19 * max(first, second) * float(rng.choice([1.1, 3.0, 70.0]))
        y = net.tensor(shape, ends if net.is_extreme else scale(rng) * 2, zero(rng))
        inputs = [x, b] if rng.integers(0, 2) else [b, x]
        fused = int(rng.choice([0, 1, 3]))
        return net.add(kind, inputs, [y], options, fusedActivationFunction=fused)

    return case


def pool(kind):
    def case(net, rng):
        x, shape, s, z = image(net, rng)
        kernel, stride, _, padding, _ = windows(rng, shape)
        if padding == 0:
            out = [math.ceil(n / t) for n, t in zip(shape[1:3], stride, strict=True)]
        else:
            out = [(n - k) // t + 1 for n, k, t in zip(shape[1:3], kernel, stride, strict=True)]
        y = net.tensor([shape[0], *out, shape[3]], s, z)
        return net.add(
            kind, [x], [y], "Pool2DOptions", padding=padding, strideH=stride[0],
            strideW=stride[1], filterHeight=kernel[0], filterWidth=kernel[1],
            fusedActivationFunction=int(rng.choice([0, 1, 3])),
        )  # fmt: skip

    return case


def mean(net, rng):
    x, shape, s, z = image(net, rng)
    axes = [[1, 2], [2, 1], [1], [3], [2, 3], [-1]][int(rng.integers(0, 6))]
    keeps = bool(rng.integers(0, 2))
    gone = {a % 4 for a in axes}
    out = [1 if a in gone else n for a, n in enumerate(shape) if keeps or a not in gone]
    same = rng.integers(0, 2)
    y = net.tensor(out, s, z) if same else net.tensor(out, scale(rng), zero(rng))
    where = net.constant(np.asarray(axes, np.int32))
    return net.add("MEAN", [x, where], [y], "ReducerOptions", keepDims=keeps)


def softmax(net, rng):
    shape = [int(n) for n in rng.integers(1, 20, int(rng.integers(1, 4)))]
    x = net.given(shape, float(np.float32(rng.choice([0.01, 0.05, 0.2, 0.9]))), zero(rng))
    y = net.tensor(shape, 1 / 256, -128)
    return net.add("SOFTMAX", [x], [y], "SoftmaxOptions", beta=float(rng.choice([1.0, 0.5])))


def one(kind, options="", out=None, **values):
    def case(net, rng):
        x = net.given([4, 64], scale(rng), zero(rng))
        y = net.tensor([4, 64], *(out or (scale(rng), zero(rng))))
        return net.add(kind, [x], [y], options, **values)

    return case


def hard_swish(net, rng):
    s = scale(rng)
    x = net.given([4, 64], s, zero(rng))
    y = net.tensor([4, 64], s * float(rng.uniform(0.3, 1.0)), zero(rng))
    return net.add("HARD_SWISH", [x], [y], "HardSwishOptions")


def in_floats(kind, options=""):
    def case(net, rng):
        x = net.given([4, 64], scale(rng), zero(rng))
        before, after = (net.tensor([4, 64], None, dtype="float32") for _ in range(2))
        net.add("DEQUANTIZE", [x], [before], "DequantizeOptions")
        net.add(kind, [before], [after], options)
        y = net.tensor([4, 64], scale(rng), zero(rng))
        return net.add("QUANTIZE", [after], [y], "QuantizeOptions")

    return case


def concatenation(net, rng):
    axis = int(rng.integers(0, 4))
    s, z = scale(rng), zero(rng)
    shape = [int(n) for n in rng.integers(1, 6, 4)]
    parts = [
        [int(rng.integers(1, 6)) if a == axis else n for a, n in enumerate(shape)] for _ in range(3)
    ]
    out = [sum(p[axis] for p in parts) if a == axis else n for a, n in enumerate(shape)]
    inputs = [net.given(part, s, z) for part in parts]
    y = net.tensor(out, s, z)
    return net.add(
        "CONCATENATION",
        inputs,
        [y],
        "ConcatenationOptions",
        axis=axis - 4 * int(rng.integers(0, 2)),
    )


def split(net, rng):
    axis, count = int(rng.integers(0, 4)), int(rng.integers(1, 4))
    s, z = scale(rng), zero(rng)
    part = [int(n) for n in rng.integers(1, 5, 4)]
    whole = [count * n if a == axis else n for a, n in enumerate(part)]
    x = net.given(whole, s, z)
    where = net.constant(np.asarray(axis, np.int32).reshape(1))
    outputs = [net.tensor(part, s, z) for _ in range(count)]
    net.add("SPLIT", [where, x], outputs, "SplitOptions", numSplits=count)
    return outputs


def unpack(net, rng):
    axis = int(rng.integers(0, 4))
    s, z = scale(rng), zero(rng)
    shape = [int(n) for n in rng.integers(1, 5, 4)]
    x = net.given(shape, s, z)
    part = shape[:axis] + shape[axis + 1 :]
    outputs = [net.tensor(part, s, z) for _ in range(shape[axis])]
    given = axis - 4 * int(rng.integers(0, 2))
    net.add("UNPACK", [x], outputs, "UnpackOptions", num=shape[axis], axis=given)
    return outputs


def pad(net, rng):
    x, shape, s, z = image(net, rng)
    pads = rng.integers(0, 3, (4, 2)).astype(np.int32)
    y = net.tensor([n + int(p.sum()) for n, p in zip(shape, pads, strict=True)], s, z)
    return net.add("PAD", [x, net.constant(pads)], [y], "PadOptions")


def padv2(net, rng):
    x, shape, s, z = image(net, rng)
    pads = rng.integers(0, 3, (4, 2)).astype(np.int32)
    value = net.constant(bytes_of(rng, [1]), s, z)
    y = net.tensor([n + int(p.sum()) for n, p in zip(shape, pads, strict=True)], s, z)
    return net.add("PADV2", [x, net.constant(pads), value], [y], "PadV2Options")


def transpose(net, rng):
    x, shape, s, z = image(net, rng)
    order = rng.permutation(4).astype(np.int32)
    y = net.tensor([shape[k] for k in order], s, z)
    return net.add("TRANSPOSE", [x, net.constant(order)], [y], "TransposeOptions")


def strided_slice(net, rng):
    x, shape, s, z = image(net, rng)
    begins, ends, steps = [], [], []
    for n in shape:
        begin = int(rng.integers(0, n))
        begins.append(begin)
        ends.append(int(rng.integers(begin + 1, n + 1)))
        steps.append(int(rng.integers(1, 3)))
    mask = int(rng.integers(0, 16))
    taken = [
        range(0 if mask >> a & 1 else b, e, t)
        for a, (b, e, t) in enumerate(zip(begins, ends, steps, strict=True))
    ]
    y = net.tensor([len(r) for r in taken], s, z)
    given = [net.constant(np.asarray(v, np.int32)) for v in (begins, ends, steps)]
    return net.add("STRIDED_SLICE", [x, *given], [y], "StridedSliceOptions", beginMask=mask)


def reshape(net, rng):
    x, shape, s, z = image(net, rng)
    out = [shape[0], math.prod(shape[1:])]
    y = net.tensor(out, s, z)
    net.add("RESHAPE", [x, net.constant(np.asarray(out, np.int32))], [y], "ReshapeOptions")
    s2 = scale(rng)
    last = net.tensor(out, s2, 3)
    return net.add("QUANTIZE", [y], [last], "QuantizeOptions")


def resize(kind, options):
    def case(net, rng):
        x, shape, s, z = image(net, rng)
        out = [int(n) for n in rng.integers(1, 15, 2)]
        corners = int(rng.integers(0, 3))
        y = net.tensor([shape[0], *out, shape[3]], s, z)
        sizes = net.constant(np.asarray(out, np.int32))
        return net.add(
            kind, [x, sizes], [y], options, alignCorners=corners == 1, halfPixelCenters=corners == 2
        )

    return case


CASES = {
    "CONV_2D": conv_2d,
    "DEPTHWISE_CONV_2D": depthwise_conv_2d,
    "DEPTHWISE_CONV_2D of 3 x 3": depthwise_3x3,
    "CONV_2D at its ends": extreme(conv_2d),
    "DEPTHWISE_CONV_2D at its ends": extreme(depthwise_3x3),
    "FULLY_CONNECTED": fully_connected,
    "FULLY_CONNECTED at its ends": extreme(fully_connected),
    "ADD at its ends": extreme(two("ADD", "AddOptions")),
    "TRANSPOSE_CONV": transpose_conv,
    "ADD": two("ADD", "AddOptions"),
    "SUB": two("SUB", "SubOptions"),
    "MUL": two("MUL", "MulOptions"),
    "AVERAGE_POOL_2D": pool("AVERAGE_POOL_2D"),
    "MAX_POOL_2D": pool("MAX_POOL_2D"),
    "MEAN": mean,
    "SOFTMAX": softmax,
    "LOGISTIC": one("LOGISTIC", out=(1 / 256, -128)),
    "TANH": one("TANH", out=(1 / 128, 0)),
    "RELU": one("RELU"),
    "RELU6": one("RELU6"),
    "RELU_N1_TO_1": one("RELU_N1_TO_1"),
    "LEAKY_RELU": one("LEAKY_RELU", "LeakyReluOptions", alpha=0.1),
    "QUANTIZE": one("QUANTIZE", "QuantizeOptions"),
    "HARD_SWISH": hard_swish,
    "LOGISTIC in floats": in_floats("LOGISTIC"),
    "TANH in floats": in_floats("TANH"),
    "RELU in floats": in_floats("RELU"),
    "RELU6 in floats": in_floats("RELU6"),
    "CONCATENATION": concatenation,
    "SPLIT": split,
    "UNPACK": unpack,
    "PAD": pad,
    "PADV2": padv2,
    "TRANSPOSE": transpose,
    "STRIDED_SLICE": strided_slice,
    "RESHAPE": reshape,
    "RESIZE_NEAREST_NEIGHBOR": resize("RESIZE_NEAREST_NEIGHBOR", "ResizeNearestNeighborOptions"),
    "RESIZE_BILINEAR": resize("RESIZE_BILINEAR", "ResizeBilinearOptions"),
}
