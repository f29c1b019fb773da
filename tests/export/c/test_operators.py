"""Each operator, with settings drawn at random: the C gives LiteRT's reference integers."""

import numpy as np
import pytest
from tests.export.c.cases import CASES
from tests.export.c.nets import Net
from tests.export.c.oracle import check_against_litert

from lilliput.export.c.lower.lower import lower
from lilliput.export.c.lower.quicker import quick
from lilliput.export.c.read import read_network

pytest.importorskip("ai_edge_litert")

VARIANTS = 12


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
