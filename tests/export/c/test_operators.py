"""Each operator, with settings drawn at random: the C gives LiteRT's reference integers."""

import math

import numpy as np
import pytest
from tests.export.c.nets import Net
from tests.export.c.oracle import Compiled, reference

from lilliput.export.c.lower.lower import lower
from lilliput.export.c.lower.quicker import quick
from lilliput.export.c.read import read_network

pytest.importorskip("ai_edge_litert")

VARIANTS = 12


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


@pytest.mark.parametrize("kind", CASES)
def test_an_operator_gives_the_reference_integers(kind, tmp_path):
    rng = np.random.default_rng(sum(map(ord, kind)))
    net, outputs = Net(), []
    for _ in range(VARIANTS):
        made = CASES[kind](net, rng)
        outputs += made if isinstance(made, list) else [made]
    check_against_litert(net, outputs, rng, tmp_path)


@pytest.mark.parametrize(
    "kernel",
    ["conv_2d", "conv_2d_wide", "depthwise_conv_2d", "depthwise_conv_3x3", "fully_connected",
     "fully_connected_wide", "add", "add_wide"],
)  # fmt: skip
def test_every_kernel_is_among_the_cases(kernel, tmp_path):
    """Those for numbers at their ends, too."""
    families = {"conv": "CONV_2D", "fully": "FULLY", "depthwise": "DEPTHWISE", "add": "ADD"}
    names = [n for n in CASES if n.startswith(families[kernel.split("_")[0]])]
    rng = np.random.default_rng(0)
    net = Net()
    outputs = [CASES[name](net, rng) for name in names for _ in range(VARIANTS)]
    program = quick(lower(read_network(net.write(tmp_path / "net.tflite", outputs))))
    assert kernel in {step.kernel for step in program.steps}


def check_against_litert(net, outputs, rng, folder, **options):
    path = net.write(folder / "net.tflite", outputs)
    ours, theirs = Compiled(path, folder / "c", **options), reference(path)
    for _ in range(3):
        inputs = [rng.integers(-128, 128, net.tensors[k].shape, dtype=np.int8) for k in net.inputs]
        wanted = theirs(inputs)
        for found, want in zip(ours(inputs, [w.shape for w in wanted]), wanted, strict=True):
            np.testing.assert_array_equal(found, want)
