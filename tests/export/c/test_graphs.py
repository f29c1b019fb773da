"""Networks drawn at random, operators and settings: the C gives LiteRT's reference integers."""

import math
import subprocess

import numpy as np
import pytest
from tests.export.c.cases import CASES
from tests.export.c.nets import Net
from tests.export.c.oracle import FLAGS, build, check_against_litert

from lilliput.export.c.generate import generate

pytest.importorskip("ai_edge_litert")

NETS = 10
"""In one file, so that they are compiled at once."""
MOST = 6
LARGEST = 2048
"""Bytes of a map that operators go on from."""


def random_net(net, rng):
    """Adds operators that read one another; what nobody reads is an output."""
    net.maps = []
    first = len(net.operators)
    for _ in range(int(rng.integers(2, MOST + 1))):
        made = CASES[str(rng.choice(list(CASES)))](net, rng)
        for y in made if isinstance(made, list) else [made]:
            if len(net.tensors[y].shape) == 4 and math.prod(net.tensors[y].shape) <= LARGEST:
                net.maps.append(y)
    own = net.operators[first:]
    read = {int(k) for operator in own for k in operator.inputs}
    return [int(y) for operator in own for y in operator.outputs if int(y) not in read]


def random_file(seed, nets=NETS):
    """Some nets side by side."""
    rng = np.random.default_rng(seed)
    net = Net()
    outputs = [y for _ in range(nets) for y in random_net(net, rng)]
    return net, outputs, rng


@pytest.mark.parametrize("seed", range(3))
def test_random_nets_answer_as_litert(seed, tmp_path):
    check_against_litert(*random_file(seed), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3, 303))
def test_three_thousand_random_nets_answer_as_litert(seed, tmp_path):
    check_against_litert(*random_file(seed), tmp_path)


def check_self_test(seed, compiler, level, folder):
    """Its exit status tells whether the C answers as LiteRT did."""
    net, outputs, _ = random_file(seed, nets=3)
    generate(net.write(folder / "net.tflite", outputs)).write(folder / "c")
    files = ["model.c", "test_model.c", "-o", "test"]
    build(folder / "c", *FLAGS, level, *files, compiler=compiler)
    assert subprocess.run([folder / "c" / "test"], check=False).returncode == 0


@pytest.mark.parametrize(
    ("compiler", "level"), [("gcc", "-O0"), ("clang", "-O0"), ("clang", "-O2")]
)
def test_random_nets_answer_as_litert_from_each_compiler(compiler, level, tmp_path):
    check_self_test(4000, compiler, level, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4001, 4016))
@pytest.mark.parametrize("level", ["-O0", "-O2", "-O3", "-Os"])
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_many_random_nets_answer_as_litert_from_each_compiler(compiler, level, seed, tmp_path):
    check_self_test(seed, compiler, level, tmp_path)
