"""What a Cortex-M55 runs on its vectors, simulated, where the toolchain is installed."""

from importlib.resources import files

import numpy as np
import pytest
from tests.export.c.cases import CASES
from tests.export.c.layers import result, scale, zero
from tests.export.c.nets import Net
from tests.measure.test_chips import check_answers, processor

from lilliput.export.c.generate import generate
from lilliput.measure.chips import build, simulate

pytest.importorskip("ai_edge_litert")

M55 = "cortex-m55"
ENDS = np.asarray([-127, -1, 0, 1, 127], np.int8)


def texts(*names):
    kernels = files("lilliput.export.c") / "kernels"
    return "\n".join((kernels / f"{name}.c").read_text("utf-8") for name in names)


def check_program(text, folder):
    """It must end with 0."""
    chip = processor(M55)
    source = folder / "main.c"
    source.write_text(f"#include <stdint.h>\n{text}")
    simulate(chip, build(chip, [source], folder / "main.elf"))


SUMS = """
static const int32_t multipliers[] = {0, 1 << 30, (1 << 30) + 1, 1518500250, INT32_MAX};

/* Near zero and near powers of two, of both signs. */
static int32_t sum_of(int32_t k)
{
    const int32_t size = k < 64 ? k : (1 << (k / 4 - 10)) + k % 4 - 2;
    return size < 1 << 30 ? size : (1 << 30) - 1;
}
"""


def test_four_sums_round_as_tensorflow_lite_does(tmp_path):
    """Against the formula of two roundings, ties and ends among the numbers."""
    needed = texts("doubled_high", "divided", "scaled", "clamped", "rescaled_four")
    check_program(
        needed
        + SUMS
        + """
int main(void)
{
    int wrong = 0;
    for (int32_t m = 0; m < 5; m++) {
        for (int32_t bits = 1; bits <= 21; bits++) {
            for (int32_t k = 0; k < 164; k++) {
                const int32_t zero = k % 2 ? 127 : -128, a = sum_of(k);
                int32_t sums[4] = {a, -a, a + 1, -a - 1}, found[4];
                const int32x4_t four = four_sums(sums[0], sums[1], sums[2], sums[3]);
                vst1q_s32(found, rescaled_four(four, multipliers[m], bits, zero));
                for (int32_t i = 0; i < 4; i++) {
                    const int32_t wanted = scaled(sums[i], multipliers[m], -bits) + zero;
                    wrong += (int8_t)found[i] != clamped(wanted, -128, 127);
                }
            }
        }
    }
    return wrong != 0;
}
""",
        tmp_path,
    )


def test_four_numbers_meet_as_tensorflow_lite_has_them_meet(tmp_path):
    """Every byte that `add` may read, without a second shift, too."""
    needed = texts(
        "doubled_high", "divided", "clamped", "saturated", "high_product", "rescaled", "narrowed",
        "rescaled_four", "add",
    )  # fmt: skip
    check_program(
        needed
        + SUMS
        + """
int main(void)
{
    int wrong = 0;
    for (int32_t m = 0; m < 5; m++) {
        for (int32_t bits = 0; bits <= 21; bits++) {
            for (int32_t k = 0; k < 512; k++) {
                const int32_t x = k / 2 - 128, zero = k % 2 ? 127 : -128, m_ = multipliers[m];
                const int32x4_t four = four_met(vdupq_n_s32(x), zero * (1 << 21), m_, bits);
                const int32_t wanted = divided(doubled_high((x - zero) * (1 << 20), m_), bits);
                wrong += vgetq_lane_s32(four, 0) != wanted || vgetq_lane_s32(four, 3) != wanted;
            }
        }
    }
    void (*volatile unused)(const struct add *, const int8_t *, const int8_t *, int8_t *) = add;
    (void)unused;
    return wrong != 0;
}
""",
        tmp_path,
    )


def long_filters(net, rng):
    """Every length of what is left of 16 bytes, weights at their ends, maps of some places."""
    each, filters = int(rng.integers(1, 71)), int(rng.integers(1, 20))
    kernel = int(rng.choice([1, 1, 2, 3]))
    size = [int(n) for n in rng.integers(kernel, 6, 2)]
    s = scale(rng)
    x = net.given([1, *size, each], s, zero(rng))
    weights = rng.choice(ENDS, [filters, kernel, kernel, each])
    scales = rng.uniform(0.001, 0.02, filters).astype(np.float32)
    length = each * kernel * kernel
    most = (1 << 23) - 1 - length * 128 * 127  # of what 24 bits hold
    bias = rng.choice([-max(most, 0), 0, max(most, 0)], filters).astype(np.int32)
    w, b = net.constant(weights, scales), net.constant(bias, scales * np.float32(s))
    y = result(net, rng, [1, *(n - kernel + 1 for n in size), filters], fan=max(abs(bias).max(), 1))
    moves = {"strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1}
    return net.add("CONV_2D", [x, w, b], [y], "Conv2DOptions", padding=1, **moves)


def halves(net, rng):
    """Depthwise, where every fourth sum lies between two outputs."""
    height, width, channels = (int(n) for n in rng.integers(3, 14, 3))
    x = net.given([1, height, width, channels], 0.5, zero(rng))
    w = net.constant(
        rng.integers(-1, 2, [1, 3, 3, channels], dtype=np.int8), [0.5] * channels, axis=3
    )
    b = net.constant(np.zeros(channels, np.int32), [0.25] * channels)
    stride = int(rng.integers(1, 3))
    y = net.tensor([1, -(-height // stride), -(-width // stride), channels], 1.0, zero(rng))
    moves = {"strideH": stride, "strideW": stride, "dilationHFactor": 1, "dilationWFactor": 1}
    return net.add(
        "DEPTHWISE_CONV_2D", [x, w, b], [y], "DepthwiseConv2DOptions", padding=0, depthMultiplier=1,
        **moves,
    )  # fmt: skip


def dense(net, rng):
    each, filters, rows = (int(n) for n in rng.integers(1, 70, 3))
    s = scale(rng)
    x = net.given([rows % 3 + 1, each], s, zero(rng))
    weights = rng.choice(np.append(ENDS, np.int8(-128)), [filters, each])
    w = net.constant(weights, float(np.float32(rng.uniform(0.001, 0.02))))
    y = result(net, rng, [rows % 3 + 1, filters], fan=1000)
    return net.add("FULLY_CONNECTED", [x, w, -1], [y], "FullyConnectedOptions")


KINDS = {
    "long filters": long_filters,
    "halves": halves,
    "dense layers": dense,
    **{name: CASES[name] for name in CASES if name.split()[0] in {"CONV_2D", "ADD", "SUB"}},
    **{name: CASES[name] for name in CASES if name.startswith(("DEPTHWISE", "FULLY"))},
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_an_operator_answers_as_litert(kind, tmp_path):
    rng = np.random.default_rng(sum(map(ord, kind)))
    net = Net()
    outputs = [KINDS[kind](net, rng) for _ in range(30)]
    check_answers(net.write(tmp_path / "net.tflite", outputs), tmp_path, M55)


def test_long_filters_are_for_the_vectors(tmp_path):
    rng = np.random.default_rng(0)
    net = Net()
    outputs = [long_filters(net, rng) for _ in range(30)]
    made = generate(net.write(tmp_path / "net.tflite", outputs))
    kernels = [step.kernel for step in made.program.steps]
    assert kernels.count("conv_2d") > 20
    assert "filters_by_2x4(&four)" in made.source
