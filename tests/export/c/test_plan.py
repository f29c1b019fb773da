"""Where tensors lie: apart while both are needed, or no nearer than what is read allows."""

import itertools

import numpy as np
import pytest
from tests.export.c.nets import Net
from tests.export.c.oracle import Compiled, reference
from tests.export.c.test_generate import residual

from lilliput.export.c.generate import generate
from lilliput.export.c.lower.lower import lower
from lilliput.export.c.lower.quicker import quick
from lilliput.export.c.plan import plan_of
from lilliput.export.c.read import read_network

pytest.importorskip("ai_edge_litert")


def lives_of(program):
    """First and last step of each place in the arena."""
    lives = {}
    for when, step in enumerate(program.steps):
        for tensor in (*step.reads, step.writes):
            place = program.place_of(tensor)
            first, _ = lives.get(place, (when, when))
            lives[place] = first, when
    return {k: (0 if k in program.network.inputs else a, b) for k, (a, b) in lives.items()}


def test_tensors_that_live_at_once_lie_apart(tmp_path):
    program = generate(residual(tmp_path)).program
    plan, lives = plan_of(program), lives_of(program)
    sizes = {t: program.network.tensors[t].count for t in lives}
    shared = 0
    for a, b in itertools.combinations([t for t in lives if t in plan.offsets], 2):
        if lives[a][0] > lives[b][1] or lives[b][0] > lives[a][1]:
            continue
        low, high = sorted((a, b), key=lambda t: (plan.offsets[t], -lives[t][0]))
        if plan.offsets[low] + sizes[low] > plan.offsets[high]:
            assert lives[high][1] == lives[low][0]  # written where the other is read at last
            shared += 1
    assert shared
    assert plan.size < sum(sizes.values())


def convolution(rng, kind):
    """A file with one convolution over one image."""
    net = Net()
    size, kernel, stride = (int(rng.integers(*r)) for r in ((4, 9), (1, 4), (1, 3)))
    channels, filters = int(rng.integers(1, 5)), int(rng.integers(1, 7))
    filters = channels if kind == "DEPTHWISE_CONV_2D" else filters
    padding = int(rng.integers(0, 2))
    out = -(-size // stride) if padding == 0 else (size - kernel) // stride + 1
    x = net.given([1, size, size, channels], 0.1)
    shape = [filters, kernel, kernel, channels]
    if kind == "DEPTHWISE_CONV_2D":
        shape = [1, kernel, kernel, filters]
    w = net.constant(rng.integers(-9, 9, shape, dtype=np.int8), 0.1)
    y = net.tensor([1, out, out, filters], 0.1)
    options = "Conv2DOptions" if kind == "CONV_2D" else "DepthwiseConv2DOptions"
    moves = {"strideH": stride, "strideW": stride, "dilationHFactor": 1, "dilationWFactor": 1}
    net.add(kind, [x, w, -1], [y], options, padding=padding, **moves)
    return net, y


def test_nothing_is_written_over_before_it_is_read(tmp_path):
    """By going through all places, two at a time, for settings drawn at random."""
    rng = np.random.default_rng(0)
    for _ in range(60):
        net, y = convolution(rng, "CONV_2D")
        (step,) = quick(lower(read_network(net.write(tmp_path / "net.tflite", [y])))).steps
        of = {name.removeprefix("window."): value for name, value in step.settings.items()}
        places = of["out_height"] * of["out_width"]
        for start in range(0, places, 2):
            end = min(start + 2, places) * of["out_channels"]
            for place in range(start + 2, places):
                row, column = divmod(place, of["out_width"])
                for i, j in itertools.product(range(of["kernel_height"]), repeat=2):
                    r = row * of["stride_height"] - of["pad_height"] + i
                    c = column * of["stride_width"] - of["pad_width"] + j
                    if 0 <= r < of["in_height"] and 0 <= c < of["in_width"]:
                        byte = (r * of["in_width"] + c) * of["in_channels"]
                        assert step.distances[0] + byte >= end


def test_a_depthwise_layer_reads_each_line_before_it_writes_there(tmp_path):
    """By going through all lines of all channels, in the order in which the kernel does."""
    rng = np.random.default_rng(0)
    kernels = set()
    for _ in range(60):
        net, y = convolution(rng, "DEPTHWISE_CONV_2D")
        (step,) = quick(lower(read_network(net.write(tmp_path / "net.tflite", [y])))).steps
        kernels.add(step.kernel)
        if step.kernel != "depthwise_conv_3x3":
            continue
        of = step.settings
        assert step.in_place == (0,)
        written: set[int] = set()
        for channel in range(of["channels"]):
            line = 0
            for out in range(of["out_lines"]):
                until = min(out * of["line_stride"] - of["lines_before"] + 3, of["in_lines"])
                for line in range(line, until):  # noqa: B020  goes on where it was
                    places = range(of["in_length"])
                    read = {channel + line * of["in_line"] + k * of["in_step"] for k in places}
                    assert not written & read
                line = max(line, until)
                places = range(of["out_length"])
                written |= {channel + out * of["out_line"] + k * of["out_step"] for k in places}
    assert "depthwise_conv_3x3" in kernels


def test_a_chain_that_writes_over_itself_answers_as_litert(tmp_path):
    rng = np.random.default_rng(3)
    net = Net()
    x = net.given([1, 9, 7, 3], 0.05, 4)
    shape = [1, 9, 7, 3]
    for kind, filters in (("C", 8), ("D", 8), ("C", 5), ("D", 5), ("C", 12), ("C", 2)):
        kernel = 3 if kind == "D" or filters == 5 else 1
        dims = [1, kernel, kernel, filters] if kind == "D" else [filters, kernel, kernel, shape[3]]
        w = net.constant(rng.integers(-127, 128, dims, dtype=np.int8), 0.01)
        b = net.constant(rng.integers(-500, 500, filters, dtype=np.int32), 0.0005)
        shape = [1, 9, 7, filters]
        y = net.tensor(shape, 0.05, int(rng.integers(-9, 9)))
        name = "DEPTHWISE_CONV_2D" if kind == "D" else "CONV_2D"
        options = "DepthwiseConv2DOptions" if kind == "D" else "Conv2DOptions"
        moves = {"strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1}
        x = net.add(name, [x, w, b], [y], options, padding=0, **moves)
    path = net.write(tmp_path / "net.tflite", [x])
    made = generate(path)
    assert made.plan.size < 9 * 7 * 12 + 9 * 7 * 5  # the two largest that live at once
    ours, theirs = Compiled(path, tmp_path / "c"), reference(path)
    for _ in range(10):
        given = rng.integers(-128, 128, [1, 9, 7, 3], dtype=np.int8)
        (wanted,) = theirs([given])
        (found,) = ours([given], [wanted.shape])
        np.testing.assert_array_equal(found, wanted)
