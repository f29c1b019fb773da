"""Rows that stream through layers: the same answers, less RAM, no row made twice."""

import re
import shutil
import subprocess
from collections import Counter

import numpy as np
import pytest
from tests.export.c.nets import Net
from tests.export.c.oracle import FLAGS, Compiled, build, reference

from lilliput.core import UnsupportedError
from lilliput.export.c import packing
from lilliput.export.c.calls import Argument, Call, calls_text
from lilliput.export.c.generate import Generated, generate
from lilliput.export.c.lower.lower import lower
from lilliput.export.c.lower.quicker import quick
from lilliput.export.c.lower.sums import with_sums
from lilliput.export.c.plan import plan_of
from lilliput.export.c.read import read_network
from lilliput.export.c.schedule import Schedule
from lilliput.export.c.stream import Stream, can_stream, streamed

pytest.importorskip("ai_edge_litert")

MOVES = {"dilationHFactor": 1, "dilationWFactor": 1}


def convolved(net, rng, x, filters=None, stride=None):
    """A convolution of any kind; one channel a filter where filters are not given."""
    height, width, channels = net.tensors[x].shape[1:]
    kernel, across = (int(rng.integers(1, min(5, size) + 1)) for size in (height, width))
    if height > 4 and rng.random() < 0.5:
        kernel = across = min(3, width)
    padding = int(rng.random() < 0.3)
    down = int(rng.integers(1, 3)) if stride is None else stride
    sizes = [
        (size - k) // down + 1 if padding else -(-size // down)
        for size, k in ((height, kernel), (width, across))
    ]
    shape = (
        [1, kernel, across, channels] if filters is None else [filters, kernel, across, channels]
    )
    most = int(rng.choice([128, 8]))
    w = net.constant(rng.integers(-most, most, shape, dtype=np.int8), 0.01)
    b = net.constant(rng.integers(-900, 900, filters or channels, dtype=np.int32), 0.0005)
    y = net.tensor([1, *sizes, filters or channels], 0.1, int(rng.integers(-30, 31)))
    kind = "DEPTHWISE_CONV_2D" if filters is None else "CONV_2D"
    options = "DepthwiseConv2DOptions" if filters is None else "Conv2DOptions"
    one = {"depthMultiplier": 1} if filters is None else {}
    moves = {"strideH": down, "strideW": down, "padding": padding, **MOVES, **one}
    return net.add(kind, [x, w, b], [y], options, **moves)


def pooled(net, rng, x):
    """A pool."""
    height, width, channels = net.tensors[x].shape[1:]
    size, stride = int(rng.integers(2, 4)), int(rng.integers(1, 3))
    moves = {"filterHeight": size, "filterWidth": size, "strideH": stride, "strideW": stride}
    shape = [1, -(-height // stride), -(-width // stride), channels]
    kind = str(rng.choice(["AVERAGE_POOL_2D", "MAX_POOL_2D"]))
    scale, zero = net.tensors[x].quantization.scale[0], net.tensors[x].quantization.zeroPoint[0]
    y = net.tensor(shape, scale, zero)
    return net.add(kind, [x], [y], "Pool2DOptions", padding=0, **moves)


def met(net, rng, x):
    """With a branch of its own, itself or a constant."""
    shape = net.tensors[x].shape
    kind = str(rng.choice(["ADD", "MUL", "SUB"]))
    which = int(rng.integers(0, 3))
    if which == 0:
        size = shape[-1] if rng.random() < 0.5 else tuple(shape)
        other = net.constant(rng.integers(-128, 128, size, dtype=np.int8), 0.05)
    else:
        other = convolved(net, rng, x, shape[-1], stride=1) if which == 1 else x
    if list(net.tensors[other].shape[1:3]) != list(shape[1:3]) and which == 1:
        other = x
    y = net.tensor(shape, 0.1, 3)
    return net.add(kind, [x, other], [y], f"{kind.title()}Options")


def turned(net, x):
    """The same bytes as a map of other height and width."""
    tensor = net.tensors[x]
    _, height, width, channels = (int(size) for size in tensor.shape)
    scale, zero = tensor.quantization.scale[0], tensor.quantization.zeroPoint[0]
    y = net.tensor([1, width, height, channels], scale, zero)
    shape = net.constant(np.asarray([1, width, height, channels], np.int32))
    return net.add("RESHAPE", [x, shape], [y])


def random_chain(rng):
    """Some layers over one map, a mean over all of it perhaps."""
    net = Net()
    x = net.given([1, *(int(n) for n in rng.integers(5, 20, 2)), int(rng.integers(1, 6))], 0.05, 4)
    for _ in range(int(rng.integers(3, 8))):
        kind = rng.random()
        if kind < 0.35:
            x = convolved(net, rng, x, int(rng.integers(1, 9)))
        elif kind < 0.6:
            x = convolved(net, rng, x)
        elif kind < 0.7:
            x = pooled(net, rng, x)
        elif kind < 0.85:
            x = met(net, rng, x)
        elif kind < 0.9:
            x = turned(net, x)
        else:
            y = net.tensor(net.tensors[x].shape, 1 / 256, -128)
            x = net.add("LOGISTIC", [x], [y])
    channels = net.tensors[x].shape[3]
    if rng.random() < 0.5:
        axes = net.constant(np.asarray([1, 2], np.int32), 1)
        y = net.tensor([1, 1, 1, channels], 0.1)
        x = net.add("MEAN", [x, axes], [y], "ReducerOptions", keepDims=True)
    return net, x


def some_stream(program, rng):
    """Layers next to each other that go by rows, if there are any."""
    fits = [can_stream(program, step) for step in program.steps]
    runs = [
        range(a, b) for a in range(len(fits)) for b in range(a + 2, len(fits) + 1) if all(fits[a:b])
    ]
    if not runs:
        return None
    weights = np.array([len(run) for run in runs], float)
    layers = runs[int(rng.choice(len(runs), p=weights / weights.sum()))]
    return Stream(layers, int(rng.integers(1, 6)))


@pytest.fixture
def always(monkeypatch):
    """Packs what it does not pay for."""
    monkeypatch.setattr(packing, "_CODE_BYTES", -1_000_000)


def check(seed, folder):
    """A stream drawn at random answers as LiteRT does, also with weights of four bits packed."""
    rng = np.random.default_rng(seed)
    net, y = random_chain(rng)
    path = net.write(folder / "net.tflite", [y])
    whole = with_sums(lower(read_network(path)))
    stream = some_stream(whole, rng)
    if stream is None:
        pytest.skip("no layers that rows could stream through")
    program = streamed(whole, stream)
    calls = packing.packed(quick(program), packing.Packing(all=seed % 2 == 1))
    made = Generated(Schedule(calls, plan_of(calls), stream), path)
    assert made.plan.size >= made.plan.bound
    all_rows = rows_made(whole)
    assert all(count <= all_rows[layer] for layer, count in rows_made(program).items())
    ours, theirs = Compiled(made, folder / "c"), reference(path)
    for _ in range(3):
        given = rng.integers(-128, 128, net.tensors[net.inputs[0]].shape, dtype=np.int8)
        (wanted,) = theirs([given])
        (found,) = ours([given], [wanted.shape])
        np.testing.assert_array_equal(found, wanted)


def rows_made(program):
    """How many rows each layer with a window makes in all."""
    made = Counter()
    for step in program.steps:
        for name, value in step.settings.items():
            made[step.layer] += value if name.endswith("out_height") else 0
    return made


@pytest.mark.parametrize("seed", range(12))
def test_rows_that_stream_give_the_reference_integers(seed, always, tmp_path):
    check(seed, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12, 412))
def test_four_hundred_more(seed, always, tmp_path):
    check(seed, tmp_path)


def deep(folder):
    """Layers over a map that is much larger than three of its rows."""
    rng = np.random.default_rng(1)
    net = Net()
    x = net.given([1, 40, 8, 2], 0.05)
    for filters in (8, None, 8):
        x = convolved(net, rng, x, filters, stride=1)
    y = net.tensor([1, 1, 1, 8], 0.1)
    axes = net.constant(np.asarray([1, 2], np.int32), 1)
    net.add("MEAN", [x, axes], [y], "ReducerOptions", keepDims=True)
    return net.write(folder / "net.tflite", [y])


def test_a_limit_makes_rows_stream(tmp_path):
    path = deep(tmp_path)
    whole = generate(path)
    small = generate(path, max_ram_bytes=whole.plan.size * 3 // 4)
    assert whole.schedule.stream is None
    assert small.schedule.stream is not None
    assert small.plan.size <= whole.plan.size * 3 // 4
    assert small.macs == whole.macs
    with pytest.raises(UnsupportedError, match="though rows stream through layers, and 100 are"):
        generate(path, max_ram_bytes=100)
    nearest = generate(path, max_ram_bytes=100, is_strict=False)
    assert nearest.plan.size <= small.plan.size


def test_a_limit_to_ram_counts_for_more_than_packing(always, tmp_path):
    path = deep(tmp_path)
    least = generate(path, max_ram_bytes=0, is_strict=False).plan.size
    made = generate(path, max_ram_bytes=least, packs_weights=True)
    assert made.plan.size <= least
    assert generate(path, packs_weights=True).packed_layers > made.packed_layers


def test_sanitizers_find_nothing(tmp_path):
    made = generate(deep(tmp_path), max_ram_bytes=0, is_strict=False)
    made.write(tmp_path / "c", vectors=2)
    sanitizers = "-fsanitize=address,undefined"
    build(tmp_path / "c", *FLAGS, "-O1", sanitizers, "-o", "test", "model.c", "test_model.c")
    assert shutil.which("gcc")
    subprocess.run([tmp_path / "c" / "test"], check=True)


def test_a_pool_over_less_than_the_map_is_no_sum(tmp_path):
    rng = np.random.default_rng(0)
    net = Net()
    x = net.given([1, 7, 5, 3], 0.05)
    program = lower(read_network(net.write(tmp_path / "net.tflite", [pooled(net, rng, x)])))
    assert with_sums(program).steps == program.steps


def unrolled(lines):
    """What the lines of C call, by going through their loops."""
    depth, code = 1, []
    for line in lines:
        text = line.strip()
        if loop := re.fullmatch(r"for \(int32_t (\w) = 0; \w < (\d+); \w\+\+\) \{", text):
            code.append("    " * depth + f"for {loop[1]} in range({loop[2]}):")
            depth += 1
        elif text == "}":
            depth -= 1
        else:
            called = re.fullmatch(r"(\w+)\(&(\w+), arena(.*)\);", text)
            code.append("    " * depth + f"found.append(({called[2]!r}, 0{called[3]}))")
    found = []
    exec("if True:\n" + "\n".join(code), {"found": found})  # noqa: S102  our own text
    return found


@pytest.mark.parametrize("seed", range(20))
def test_loops_are_the_calls_that_they_stand_for(seed):
    rng = np.random.default_rng(seed)
    calls, at = [], 0
    for _ in range(int(rng.integers(1, 6))):
        body = [
            (f"layer_{k}", int(o)) for k, o in enumerate(rng.integers(0, 9, rng.integers(1, 5)))
        ]
        step, inner = (int(n) for n in rng.integers(-3, 4, 2))
        for round_ in range(int(rng.integers(1, 7))):
            for name, offset in body:
                for again in range(int(rng.integers(1, 4)) if seed % 2 else 2):
                    at = offset + 100 + step * round_ + inner * again
                    calls.append(Call("run", name, (Argument("arena", at),)))
    lines = [*calls_text(calls)]
    assert unrolled(lines) == [(call.told, call.arguments[0].offset) for call in calls]
    assert len(lines) <= len(calls)
