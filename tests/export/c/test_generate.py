"""From a file to C that compiles without a warning, and files that must be refused."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from tests.export.c.nets import Net
from tests.export.c.oracle import FLAGS, Compiled, build, reference

from lilliput.core import ExportError, LilliputError, UnsupportedError
from lilliput.export.c.generate import generate
from lilliput.export.c.read import read_network

pytest.importorskip("ai_edge_litert")

SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
TINY = "mlperf-tiny"


def residual(folder: Path, size: int = 8) -> Path:
    """Two convolutions, a sum, a pool, a dense layer, a softmax."""
    rng = np.random.default_rng(1)
    net = Net()
    x = net.given([1, size, size, 4], 0.05, -3)

    def conv(source, padding=0):
        w = net.constant(rng.integers(-127, 128, [4, 3, 3, 4], dtype=np.int8), [0.01] * 4)
        b = net.constant(rng.integers(-500, 500, 4, dtype=np.int32), [0.0005] * 4)
        y = net.tensor([1, size, size, 4], 0.06, 5)
        moves = {"strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1}
        return net.add("CONV_2D", [source, w, b], [y], "Conv2DOptions", padding=padding, **moves)

    total = net.tensor([1, size, size, 4], 0.08, 0)
    net.add("ADD", [conv(conv(x)), x], [total], "AddOptions")
    mean = net.tensor([1, 4], 0.05, 2)
    axes = net.constant(np.asarray([1, 2], np.int32))
    net.add("MEAN", [total, axes], [mean], "ReducerOptions")
    w = net.constant(rng.integers(-127, 128, [3, 4], dtype=np.int8), 0.02)
    b = net.constant(rng.integers(-50, 50, 3, dtype=np.int32), 0.001)
    scores = net.tensor([1, 3], 0.1, 0)
    net.add("FULLY_CONNECTED", [mean, w, b], [scores], "FullyConnectedOptions")
    out = net.tensor([1, 3], 1 / 256, -128)
    net.add("SOFTMAX", [scores], [out], "SoftmaxOptions", beta=1.0)
    return net.write(folder / "net.tflite", [out])


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_the_self_test_passes_under_sanitizers(compiler, tmp_path):
    generate(residual(tmp_path)).write(tmp_path / "c")
    files = ["model.c", "test_model.c", "-o", "test"]
    build(tmp_path / "c", *FLAGS, *SANITIZERS, *files, compiler=compiler)
    assert subprocess.run([tmp_path / "c" / "test"], check=False).returncode == 0


def test_the_self_test_fails_where_a_weight_is_wrong(tmp_path):
    generate(residual(tmp_path)).write(tmp_path / "c")
    source = tmp_path / "c" / "model.c"
    text = source.read_text()
    start = text.index("static const int32_t scaling_")
    source.write_text(text[:start] + text[start:].replace("{\n    ", "{\n    9999 + ", 1))
    files = ["model.c", "test_model.c", "-o", "test"]
    build(tmp_path / "c", *FLAGS, *files)
    assert subprocess.run([tmp_path / "c" / "test"], check=False).returncode == 1


def test_too_many_constants_are_told_with_their_layer(tmp_path):
    with pytest.raises(UnsupportedError, match=r"100 are allowed; most are of operator"):
        generate(residual(tmp_path), max_flash_bytes=100)


@pytest.mark.parametrize("zero", [300, -129])
def test_a_zero_point_outside_a_byte_is_refused(zero, tmp_path):
    net = Net()
    x = net.given([1, 4], 0.1, zero)
    y = net.tensor([1, 4], 0.1)
    net.add("RELU", [x], [y])
    with pytest.raises(ExportError, match=str(zero)):
        generate(net.write(tmp_path / "net.tflite", [y]))


def test_the_class_may_be_told_instead_of_scores(tmp_path):
    path = residual(tmp_path)
    network = read_network(path)
    theirs, ours = reference(path), Compiled(path, tmp_path / "c", gives_largest=True)
    assert "softmax(" not in (tmp_path / "c" / "model.c").read_text()
    rng = np.random.default_rng(0)
    clear = 0
    for _ in range(50):
        x = rng.integers(-128, 128, network.tensors[network.inputs[0]].shape, dtype=np.int8)
        (scores,) = theirs([x])
        (found,) = ours([x], [(1, 1)])
        best = np.flatnonzero(scores[0] == scores.max())
        assert found[0, 0] in best  # a softmax may make equal scores of what was not
        clear += len(best) == 1
    assert clear > 10


def test_more_classes_than_a_byte_tells_are_refused(tmp_path):
    net = Net()
    x = net.given([1, 4], 0.1)
    w = net.constant(np.ones((200, 4), np.int8), 0.1)
    y = net.tensor([1, 200], 0.1)
    net.add("FULLY_CONNECTED", [x, w, -1], [y], "FullyConnectedOptions")
    path = net.write(tmp_path / "net.tflite", [y])
    with pytest.raises(UnsupportedError, match=r"rows of 200.*2 to 128"):
        generate(path, gives_largest=True)


def test_a_program_may_watch_each_layer(tmp_path):
    """By a macro, which a profiler defines."""
    made = generate(residual(tmp_path))
    made.write(tmp_path / "c", vectors=0)
    text = """
        #include "model.h"
        extern int runs_of[];
        static int8_t in[LILLIPUT_INPUT_BYTES], out[LILLIPUT_OUTPUT_BYTES];
        int runs_of[100];
        int main(void)
        {
            int count = 0;
            lilliput_invoke(in, out);
            while (runs_of[count]) {
                count++;
            }
            return count;
        }
    """
    (tmp_path / "c" / "main.c").write_text(text)
    (tmp_path / "c" / "hook.h").write_text(
        "extern int runs_of[];\n#define LILLIPUT_AFTER(layer) runs_of[layer]++\n"
    )
    build(tmp_path / "c", *FLAGS, "-include", "hook.h", "model.c", "main.c", "-o", "watch")
    done = subprocess.run([tmp_path / "c" / "watch"], check=False)
    assert done.returncode == len(made.program.steps)


def test_the_header_is_good_for_cpp(tmp_path):
    generate(residual(tmp_path)).write(tmp_path / "c", vectors=0)
    text = """
        #include "model.h"
        #include "model.h"
        static int8_t in[LILLIPUT_INPUT_BYTES], out[LILLIPUT_OUTPUT_BYTES];
        int main() { lilliput_invoke(in, out); return LILLIPUT_OUTPUT_ZERO_POINT != -128; }
    """
    (tmp_path / "c" / "main.cpp").write_text(text)
    build(tmp_path / "c", "-c", "model.c")
    build(tmp_path / "c", "-Wall", "-Werror", "main.cpp", "model.o", "-o", "test", compiler="g++")
    assert subprocess.run([tmp_path / "c" / "test"], check=False).returncode == 0


def test_float_ends_are_the_callers(tmp_path):
    net = Net()
    x = net.given([1, 6], None, dtype="float32")
    q = net.tensor([1, 6], 0.1, 4)
    net.add("QUANTIZE", [x], [q], "QuantizeOptions")
    r = net.tensor([1, 6], 0.05, -128)
    net.add("RELU", [q], [r])
    y = net.tensor([1, 6], None, dtype="float32")
    net.add("DEQUANTIZE", [r], [y], "DequantizeOptions")
    path = net.write(tmp_path / "net.tflite", [y])
    made = generate(path)
    assert "LILLIPUT_INPUT_SCALE 0.100000001f" in made.header
    whole = np.arange(-3, 3, dtype=np.int8)[None]
    real = (whole.astype(np.float32) - 4) * np.float32(0.1)
    (wanted,) = reference(path)([real])
    (found,) = Compiled(path, tmp_path / "c")([whole], [(1, 6)])
    np.testing.assert_allclose((found.astype(np.float32) + 128) * np.float32(0.05), wanted)


def test_a_float_file_is_told_how_to_become_int8(tmp_path):
    net = Net()
    x = net.given([1, 4], None, dtype="float32")
    y = net.tensor([1, 4], None, dtype="float32")
    net.add("RELU", [x], [y])
    path = net.write(tmp_path / "net.tflite", [y])
    with pytest.raises(
        UnsupportedError, match=r"operator 0 \(RELU\) computes with float32.*Static"
    ):
        generate(path)


def test_an_operator_without_a_kernel_is_named(tmp_path):
    net = Net()
    x = net.given([1, 4], 0.1)
    y = net.tensor([1, 4], 0.1)
    net.add("EXP", [x], [y], "ExpOptions")
    with pytest.raises(UnsupportedError, match=r"no C for operator 0 \(EXP\)"):
        generate(net.write(tmp_path / "net.tflite", [y]))


def test_too_large_an_arena_names_the_peak(tmp_path):
    with pytest.raises(UnsupportedError, match=r"and 300 are allowed; operator 1 \(CONV"):
        generate(residual(tmp_path), max_ram_bytes=300)


def test_room_that_is_too_small_is_refused(tmp_path):
    net = Net()
    x = net.given([1, 4, 4, 2], 0.1)
    y = net.tensor([1, 2, 2, 2], 0.1)  # a stride of 1 gives 4 x 4
    moves = {"strideH": 1, "strideW": 1, "filterHeight": 2, "filterWidth": 2}
    net.add("MAX_POOL_2D", [x], [y], "Pool2DOptions", padding=0, **moves)
    with pytest.raises(ExportError, match=r"gives \[1, 4, 4, 2\], but has room for \[1, 2, 2, 2\]"):
        generate(net.write(tmp_path / "net.tflite", [y]))


@pytest.mark.parametrize(("shape", "axis"), [([], 0), ([2, 4], 2), ([2, 4], -3)])
def test_an_axis_that_is_not_there_is_refused(shape, axis, tmp_path):
    net = Net()
    x = net.given(shape, 0.1)
    parts = [net.tensor([4], 0.1) for _ in range(2)]
    net.add("UNPACK", [x], parts, "UnpackOptions", num=2, axis=axis)
    with pytest.raises(ExportError, match=rf"operator 0 \(UNPACK\) names the axis {axis} of"):
        generate(net.write(tmp_path / "net.tflite", parts))


def test_equal_constants_and_reshaped_ones_have_one_name(tmp_path):
    net = Net()
    x = net.given([1, 4], 0.1)
    values = np.asarray([[1, -2, 3, -4]], np.int8)
    first, second = net.constant(values, 0.1), net.constant(values, 0.1)
    line, shape = net.tensor([4], 0.1), net.constant(np.asarray([4], np.int32))
    net.add("RESHAPE", [second, shape], [line], "ReshapeOptions")
    a, b = net.tensor([1, 4], 0.2), net.tensor([1, 4], 0.2)
    net.add("ADD", [x, first], [a], "AddOptions")
    net.add("MUL", [a, line], [b], "MulOptions")
    path = net.write(tmp_path / "net.tflite", [b])
    given = np.asarray([[5, 6, -7, 100]], np.int8)
    (wanted,) = reference(path)([given])
    (found,) = Compiled(path, tmp_path / "c")([given], [wanted.shape])
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("is_twice", [False, True])
def test_an_output_that_nothing_writes_is_refused(is_twice, tmp_path):
    net = Net()
    x = net.given([1, 4], 0.1)
    line, shape = net.tensor([4], 0.1), net.constant(np.asarray([4], np.int32))
    if is_twice:
        y = net.tensor([1, 4], 0.1)
        x = net.add("RELU", [x], [y])
    net.add("RESHAPE", [x, shape], [line], "ReshapeOptions")
    with pytest.raises(UnsupportedError, match=r"is an input, a constant or another output"):
        generate(net.write(tmp_path / "net.tflite", [x, line] if is_twice else [line]))


def test_damaged_files_end_in_our_errors(tmp_path):
    data = residual(tmp_path).read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(400):
        changed = bytearray(
            data[: int(rng.integers(8, len(data) + 1))] if rng.integers(0, 4) == 0 else data
        )
        for _ in range(int(rng.integers(1, 6))):
            changed[int(rng.integers(4, len(changed)))] = int(rng.integers(0, 256))
        path = tmp_path / "damaged.tflite"
        path.write_bytes(changed)
        try:
            generate(path).source  # noqa: B018
        except LilliputError:
            refused += 1
    assert refused > 100


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["kws_ref_model", "pretrainedResnet_quant", "vww_96_int8", "ad01_int8"]
)
def test_published_networks_answer_as_litert(name, tmp_path):
    path = Path(os.environ["LILLIPUT_DATA"]) / TINY / f"{name}.tflite"
    ours, theirs = Compiled(path, tmp_path / "c"), reference(path)
    made = generate(path)
    (index,) = made.program.network.inputs
    shape = made.program.network.tensors[index].shape
    rng = np.random.default_rng(0)
    for _ in range(20):
        x = rng.integers(-128, 128, shape, dtype=np.int8)
        (wanted,) = theirs([x])
        (found,) = ours([x], [wanted.shape])
        np.testing.assert_array_equal(found, wanted)
