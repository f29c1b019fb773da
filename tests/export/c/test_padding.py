"""Numbers that a file puts around a map in a step of its own: it goes, and no answer changes."""

import numpy as np
import pytest
from tests.export.c.nets import Net
from tests.export.c.oracle import check_against_litert

from lilliput.export.c.generate import generate

pytest.importorskip("ai_edge_litert")

KINDS = ("CONV_2D", "DEPTHWISE_CONV_2D", "MAX_POOL_2D")


def padded(net, rng, x, value=None):
    """By 0 to 3 at each edge, with the zero point or a value of one's own."""
    shape = list(net.tensors[x].shape)
    around = np.zeros((4, 2), np.int32)
    around[1:3] = rng.integers(0, 4, (2, 2))
    zero = int(net.tensors[x].quantization.zeroPoint[0])
    y = net.tensor([n + int(sum(a)) for n, a in zip(shape, around, strict=True)], 0.05, zero)
    given = [x, net.constant(around)]
    if value is None:
        return net.add("PAD", given, [y])
    with_value = [*given, net.constant(np.asarray([value], np.int8), 0.05, zero)]
    return net.add("PADV2", with_value, [y])


def read(net, rng, x, kind):
    """By a layer that keeps inside."""
    _, height, width, channels = net.tensors[x].shape
    kernel, stride = 3 if rng.random() < 0.7 else 2, int(rng.integers(1, 3))
    sizes = [(size - kernel) // stride + 1 for size in (height, width)]
    moves = {"strideH": stride, "strideW": stride, "padding": 1}
    scale, zero = 0.05, int(net.tensors[x].quantization.zeroPoint[0])
    if kind == "MAX_POOL_2D":
        y = net.tensor([1, *sizes, channels], scale, zero)
        size = {"filterHeight": kernel, "filterWidth": kernel}
        return net.add(kind, [x], [y], "Pool2DOptions", **moves, **size)
    filters = channels if kind == "DEPTHWISE_CONV_2D" else 5
    shape = [filters, kernel, kernel, channels]
    if kind == "DEPTHWISE_CONV_2D":
        shape = [1, kernel, kernel, channels]
    w = net.constant(rng.integers(-127, 128, shape, dtype=np.int8), 0.01)
    b = net.constant(rng.integers(-900, 900, filters, dtype=np.int32), 0.0005)
    y = net.tensor([1, *sizes, filters], 0.1, 7)
    options = "Conv2DOptions" if kind == "CONV_2D" else "DepthwiseConv2DOptions"
    one = {} if kind == "CONV_2D" else {"depthMultiplier": 1}
    near = {"dilationHFactor": 1, "dilationWFactor": 1}
    return net.add(kind, [x, w, b], [y], options, **moves, **near, **one)


def nets(rng, kind, value=None):
    """Some maps, each padded and read."""
    net, outputs = Net(), []
    for _ in range(8):
        sizes = [int(n) for n in rng.integers(3, 9, 2)]
        x = net.given([1, *sizes, int(rng.integers(1, 6))], 0.05, int(rng.integers(-50, 51)))
        outputs.append(read(net, rng, padded(net, rng, x, value), kind))
    return net, outputs


def kernels(path):
    return {step.kernel for step in generate(path).program.steps}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_around_a_map_needs_no_step(kind, tmp_path):
    rng = np.random.default_rng(0)
    net, outputs = nets(rng, kind, -128 if kind == "MAX_POOL_2D" else None)
    check_against_litert(net, outputs, rng, tmp_path)
    assert not kernels(tmp_path / "net.tflite") & {"copy", "fill"}


@pytest.mark.parametrize("kind", KINDS)
def test_other_values_stay(kind, tmp_path):
    rng = np.random.default_rng(1)
    net, outputs = nets(rng, kind, 99)
    check_against_litert(net, outputs, rng, tmp_path)
    assert {"copy", "fill"} <= kernels(tmp_path / "net.tflite")


def test_a_padded_map_that_is_asked_for_stays(tmp_path):
    rng = np.random.default_rng(2)
    net = Net()
    x = padded(net, rng, net.given([1, 5, 4, 3], 0.05, 9))
    check_against_litert(net, [x, read(net, rng, x, "CONV_2D")], rng, tmp_path)
    steps = generate(tmp_path / "net.tflite").program.steps
    assert [step.kernel for step in steps].count("fill") == 1
