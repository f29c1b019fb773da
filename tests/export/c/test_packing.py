"""Packed weights: the same answers, and never more bytes."""

import shutil
import subprocess

import numpy as np
import pytest
from tests.export.c.layers import FEW, bytes_of, scale, zero
from tests.export.c.nets import Net
from tests.export.c.oracle import FLAGS, build, check_against_litert
from tests.export.c.test_generate import SANITIZERS
from tests.export.c.test_graphs import random_file

from lilliput.core import UnsupportedError
from lilliput.export.c import packing
from lilliput.export.c.generate import generate
from lilliput.measure.chips import PROCESSORS, build as build_image, missing_tools, simulate

pytest.importorskip("ai_edge_litert")

CONVOLUTIONS = [(1, 9, 1), (3, 6, 1), (2, 8, 2), (1, 1, 1), (3, 5, 1)]
"""Kernel, filters and groups."""


@pytest.fixture
def always(monkeypatch):
    """Packs what it does not pay for, in blocks of few filters."""
    monkeypatch.setattr(packing, "_CODE_BYTES", -1_000_000)
    monkeypatch.setattr(packing, "_MOST_OF_PLAIN", 1000)
    monkeypatch.setattr(packing, "_FILTERS", (4, 2))


def convolution(net, rng, kind, form):
    """One of a kernel, filters and groups, over a map of odd sizes."""
    kernel, filters, groups = form
    each, batch = int(rng.integers(1, 8)), int(rng.integers(1, 3))
    x = net.given([batch, 5, 3, groups * each], 0.05, zero(rng))
    values = FEW[kind](rng, bytes_of(rng, [filters, kernel, kernel, each])).astype(np.int8)
    w = net.constant(values, rng.uniform(0.001, 0.02, filters).astype(np.float32))
    b = net.constant(rng.integers(-3000, 3000, filters, dtype=np.int32), 0.001)
    y = net.tensor([batch, 5, 3, filters], 0.3, zero(rng))
    moves = {"strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1}
    return net.add("CONV_2D", [x, w, b], [y], "Conv2DOptions", padding=0, **moves)


def dense(net, rng, kind, rows, sizes):
    """A dense layer of so many rows, inputs and outputs."""
    each, out = sizes
    x = net.given([rows, each], scale(rng), zero(rng))
    w = net.constant(FEW[kind](rng, bytes_of(rng, [out, each])).astype(np.int8), 0.01)
    b = net.constant(rng.integers(-3000, 3000, out, dtype=np.int32), 0.001)
    y = net.tensor([rows, out], 1.0, zero(rng))
    return net.add("FULLY_CONNECTED", [x, w, b], [y], "FullyConnectedOptions")


def layers(rng, kind, net=None):
    """Layers side by side."""
    net = net or Net()
    outputs = [convolution(net, rng, kind, form) for form in CONVOLUTIONS]
    outputs += [dense(net, rng, kind, 1, sizes) for sizes in ((300, 6), (128, 4), (1, 1), (7, 3))]
    outputs += [dense(net, rng, kind, 3, (21, 5))]
    return net, outputs


def layers_of_kinds(folder):
    """A file with layers of several kinds."""
    rng, net = np.random.default_rng(1), Net()
    kinds = ("4 bits", "16 values", "3 values", "zeros", "zeros and 4 bits", "all zero")
    outputs = [y for kind in kinds for y in layers(rng, kind, net)[1]]
    return net.write(folder / "net.tflite", outputs)


def one_dense(folder, values, rng):
    """A file with a dense layer of these weights."""
    net = Net()
    x = net.given([1, values.shape[1]], 0.1)
    w = net.constant(values.astype(np.int8), 0.01)
    b = net.constant(rng.integers(-3000, 3000, len(values), dtype=np.int32), 0.001)
    y = net.tensor([1, len(values)], 1.0)
    net.add("FULLY_CONNECTED", [x, w, b], [y], "FullyConnectedOptions")
    return net.write(folder / "net.tflite", [y])


@pytest.mark.parametrize("kind", FEW)
def test_packed_layers_give_the_reference_integers(kind, always, tmp_path):
    rng = np.random.default_rng(sum(map(ord, kind)))
    net, outputs = layers(rng, kind)
    check_against_litert(net, outputs, rng, tmp_path, packs_weights=True)
    made = generate(tmp_path / "net.tflite", packs_weights=True)
    assert made.packed_layers == len(outputs)


def test_all_ways_to_hold_weights_are_among_the_layers(always, tmp_path):
    """Integers, palettes of four and sixteen, and codes of all widths with all gaps."""
    found = set()
    for kind in FEW:
        net, outputs = layers(np.random.default_rng(0), kind)
        made = generate(net.write(tmp_path / "net.tflite", outputs), packs_weights=True)
        for step in made.program.steps:
            of = [step.settings.get(f"weights.{name}", 0) for name in ("code_bits", "gap_bits")]
            found.add((*of, "weights.palette" in step.arrays, step.kernel))
    for kernel in ("conv_2d_packed", "fully_connected_packed", "fully_connected_sparse"):
        have = {(code, gap, palette) for code, gap, palette, name in found if name == kernel}
        if kernel != "fully_connected_sparse":
            assert {(4, 0, False), (4, 0, True), (2, 0, True)} <= have
        assert {code for code, gap, _ in have if gap} == {2, 4, 8}
    assert {gap for _, gap, *_ in found} == {0, 1, 2, 4, 8}


@pytest.mark.parametrize("name", PROCESSORS)
def test_a_chip_answers_as_litert_when_packed(name, always, tmp_path):
    chip = PROCESSORS[name]
    if missing_tools(chip):
        pytest.skip(f"needs {', '.join(missing_tools(chip))}")
    made = generate(layers_of_kinds(tmp_path), packs_weights=True)
    simulate(chip, image_of(chip, made, tmp_path / "c"))


@pytest.mark.parametrize("seed", range(3))
def test_random_nets_answer_as_litert_when_packed(seed, always, tmp_path):
    check_against_litert(*random_file(seed), tmp_path, packs_weights=True)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3, 103))
def test_a_thousand_random_nets_answer_as_litert_when_packed(seed, always, tmp_path):
    check_against_litert(*random_file(seed), tmp_path, packs_weights=True)


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_the_self_test_passes_under_sanitizers(compiler, always, tmp_path):
    generate(layers_of_kinds(tmp_path), packs_weights=True).write(tmp_path / "c")
    files = ["model.c", "test_model.c", "-o", "test"]
    build(tmp_path / "c", *FLAGS, *SANITIZERS, *files, compiler=compiler)
    assert subprocess.run([tmp_path / "c" / "test"], check=False).returncode == 0


def test_a_wrong_code_gives_a_wrong_answer(tmp_path):
    rng = np.random.default_rng(0)
    path = one_dense(tmp_path, rng.integers(-8, 8, (40, 200)), rng)
    generate(path, packs_weights=True).write(tmp_path / "c")
    source = tmp_path / "c" / "model.c"
    text = source.read_text()
    start = text.index("static const uint32_t weights_codes_")
    source.write_text(text[:start] + text[start:].replace("0x", "0x77777777 ^ 0x", 1))
    build(tmp_path / "c", *FLAGS, "model.c", "test_model.c", "-o", "test")
    assert subprocess.run([tmp_path / "c" / "test"], check=False).returncode == 1


@pytest.mark.parametrize("kind", ["bytes", "4 bits", "zeros"])
@pytest.mark.parametrize("name", PROCESSORS)
def test_no_image_becomes_larger(kind, name, tmp_path):
    """Around the size from which packing pays; what does not gain stays as it is."""
    chip = PROCESSORS[name]
    if missing_tools(chip):
        pytest.skip(f"needs {', '.join(missing_tools(chip))}")
    packs = set()
    for filters in (24, 56):
        rng = np.random.default_rng(filters)
        net = Net()
        outputs = [
            convolution(net, rng, kind, (3, filters, 1)),
            convolution(net, rng, "bytes", (3, 5, 1)),
            dense(net, rng, kind, 1, (filters, filters)),
            dense(net, rng, "bytes", 1, (9, 5)),
        ]
        path = net.write(tmp_path / "net.tflite", outputs)
        plain, packed = (generate(path, packs_weights=p) for p in (False, True))
        packs.add(packed.packed_layers)
        if packed.packed_layers == 0:
            assert packed.source == plain.source
            continue
        sizes = [flash(chip, image_of(chip, made, tmp_path / "c")) for made in (packed, plain)]
        assert sizes[0] < sizes[1]
    assert packs == {0} if kind == "bytes" else 0 in packs


def image_of(chip, made, folder):
    """Of the self-test."""
    made.write(folder, vectors=1)
    sources = [folder / "model.c", folder / "test_model.c"]
    return build_image(chip, sources, folder / "test.elf", [f"-I{folder}"])


def flash(chip, image):
    """Bytes of an image."""
    size = str(shutil.which(f"{chip.prefix}size"))
    said = subprocess.run([size, image], check=True, capture_output=True, text=True).stdout
    text, data, *_ = said.splitlines()[1].split()
    return int(text) + int(data)


def two_layers(folder):
    """One that saves much, and one that saves less."""
    rng = np.random.default_rng(0)
    net = Net()
    outputs = [dense(net, rng, kind, 1, (200, 100)) for kind in ("4 bits", "zeros")]
    return net.write(folder / "net.tflite", outputs)


def test_what_saves_most_is_packed_first_until_constants_fit(tmp_path):
    path = two_layers(tmp_path)
    plain = generate(path)
    assert plain.packed_layers == 0
    first = generate(path, max_flash_bytes=plain.constant_bytes - 1)
    kernels = [step.kernel for step in first.program.steps]
    assert kernels == ["fully_connected", "fully_connected_sparse"]
    both = generate(path, max_flash_bytes=first.constant_bytes - 1)
    assert both.packed_layers == 2
    assert both.source == generate(path, packs_weights=True).source


def test_what_does_not_fit_packed_either_is_refused(tmp_path):
    path = two_layers(tmp_path)
    least = generate(path, packs_weights=True).constant_bytes
    with pytest.raises(UnsupportedError, match=f"constants take {least:,} bytes.*mostly zero"):
        generate(path, max_flash_bytes=least - 1)


def test_more_filters_are_unpacked_at_once_where_there_is_room(tmp_path):
    """In the arena of a larger map; where the convolution needs most, few filters take least."""

    def together(side):
        rng = np.random.default_rng(0)
        net = Net()
        x = net.given([1, 12, 12, 64], 0.05)
        w = net.constant(rng.integers(-8, 8, (64, 3, 3, 64), dtype=np.int8), 0.01)
        y, larger, out = (net.tensor([1, n, n, 64], 0.3) for n in (12, side, 1))
        moves = {"strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1}
        net.add("CONV_2D", [x, w, -1], [y], "Conv2DOptions", padding=0, **moves)
        size = net.constant(np.asarray([side, side], np.int32))
        net.add("RESIZE_NEAREST_NEIGHBOR", [y, size], [larger], "ResizeNearestNeighborOptions")
        pool = {"strideH": side, "strideW": side, "filterHeight": side, "filterWidth": side}
        net.add("MAX_POOL_2D", [larger], [out], "Pool2DOptions", padding=1, **pool)
        path = net.write(tmp_path / "net.tflite", [out])
        return generate(path, packs_weights=True).program.steps[0].settings["together"]

    assert together(1) == 8
    assert together(24) == 32
    assert together(60) == 64


@pytest.mark.parametrize("each", [6, 7])
def test_constants_of_four_bits_are_read(each, tmp_path):
    """As LiteRT holds them: two in a byte, of a whole tensor."""
    rng = np.random.default_rng(each)
    net = Net()
    moves = {"strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1}
    shapes = {
        "FULLY_CONNECTED": ([3, each], [5, each], [3, 5], {}),
        "CONV_2D": ([1, 3, 3, each], [5, 3, 3, each], [1, 3, 3, 5], moves),
        "DEPTHWISE_CONV_2D": ([1, 3, 3, each], [1, 3, 3, each], [1, 3, 3, each], moves),
    }
    names = ("FullyConnectedOptions", "Conv2DOptions", "DepthwiseConv2DOptions")
    outputs = []
    for (kind, (given, shape, result, how)), name in zip(shapes.items(), names, strict=True):
        x, y = net.given(given, 0.05, 3), net.tensor(result, 0.1, -7)
        w = net.halves(rng.integers(-8, 8, shape, dtype=np.int8), 0.05)
        b = net.constant(rng.integers(-300, 300, result[-1], dtype=np.int32), 0.0025)
        depth = {"depthMultiplier": 1} if name.startswith("Depthwise") else {}
        outputs.append(net.add(kind, [x, w, b], [y], name, **how, **depth))
    check_against_litert(net, outputs, rng, tmp_path)
