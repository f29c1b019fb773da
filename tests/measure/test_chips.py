"""Generated C on simulated processors, where the toolchains are installed."""

import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.export.c.cases import CASES
from tests.export.c.nets import Net
from tests.export.c.oracle import FLAGS
from tests.export.c.test_generate import residual
from tests.export.c.test_graphs import random_file
from torch import nn

import lilliput as lp
from lilliput.core import MeasureError, UnsupportedError
from lilliput.export.c.generate import generate
from lilliput.measure import chips
from lilliput.measure.chips import PROCESSORS, build, chip_costs, missing_tools, simulate

pytest.importorskip("ai_edge_litert")


def processor(name):
    found = PROCESSORS[name]
    if missing_tools(found):
        pytest.skip(f"needs {', '.join(missing_tools(found))}")
    return found


def check_answers(path, folder, name, compiled=None):
    """The self-test's own exit status tells.

    Args:
        path: The network.
        folder: Where C and image go.
        name: The processor's.
        compiled: Makes an object of `model.c` that is linked instead of it.
    """
    chip = processor(name)
    generate(path).write(folder / "c")
    model = folder / "c" / "model.c"
    sources = [compiled(chip, model) if compiled else model, folder / "c" / "test_model.c"]
    simulate(chip, build(chip, sources, folder / "test.elf", [f"-I{folder / 'c'}"]))


def by_clang(level):
    """A compiler that GCC's linker takes objects from."""
    clang = shutil.which("clang")
    if clang is None:
        pytest.skip("clang is not installed")

    def compiled(chip, source):
        result = source.with_suffix(".o")
        flags = ("--target=arm-none-eabi", *chip.flags, level, "-ffreestanding", *FLAGS)
        subprocess.run([clang, *flags, "-c", source, "-o", result], check=True)
        return result

    return compiled


@pytest.mark.parametrize("name", PROCESSORS)
def test_a_chip_answers_as_litert(name, tmp_path):
    check_answers(residual(tmp_path), tmp_path, name)


@pytest.mark.parametrize("level", ["-O0", "-O2"])
def test_what_clang_compiles_answers_as_litert(level, tmp_path):
    check_answers(residual(tmp_path), tmp_path, "cortex-m4", by_clang(level))


@pytest.mark.parametrize(
    "kind", ["ADD", "CONV_2D", "DEPTHWISE_CONV_2D of 3 x 3", "FULLY_CONNECTED"]
)
def test_clang_finds_nothing_that_goes_unused(kind, tmp_path):
    """Some helpers are called only where there is no assembly."""
    net = Net()
    y = CASES[kind](net, np.random.default_rng(0))
    generate(net.write(tmp_path / "net.tflite", [y])).write(tmp_path, vectors=0)
    by_clang("-O2")(PROCESSORS["cortex-m4"], tmp_path / "model.c")


@pytest.mark.slow
@pytest.mark.parametrize("level", ["-O0", "-O2", "-Os"])
@pytest.mark.parametrize("seed", range(10))
def test_random_nets_that_clang_compiles_answer_as_litert(seed, level, tmp_path):
    net, outputs, _ = random_file(2000 + seed, nets=3)
    path = net.write(tmp_path / "net.tflite", outputs)
    check_answers(path, tmp_path, "cortex-m4", by_clang(level))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("name", PROCESSORS)
def test_a_chip_answers_random_nets_as_litert(name, seed, tmp_path):
    net, outputs, _ = random_file(1000 + seed, nets=3)
    check_answers(net.write(tmp_path / "net.tflite", outputs), tmp_path, name)


def test_a_wrong_answer_is_told(tmp_path):
    chip = processor("cortex-m4")
    generate(residual(tmp_path)).write(tmp_path / "c")
    test = tmp_path / "c" / "test_model.c"
    test.write_text(test.read_text().replace("wrong += ", "wrong += 1 + "))
    sources = [tmp_path / "c" / "model.c", test]
    image = build(chip, sources, tmp_path / "test.elf", [f"-I{tmp_path / 'c'}"])
    with pytest.raises(MeasureError, match="ended with 1"):
        simulate(chip, image)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    """A small int8 network for a Cortex-M4."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)]
    x = torch.randn(64, 1, 8, 8)
    data = [(x, torch.randint(4, (64,)))]
    task = lp.Task("t", data, data, nn.functional.cross_entropy, lp.Accuracy())
    target = lp.get_target("cortex-m4")
    model = lp.Model(nn.Sequential(*layers).eval(), (x[:1],))
    small = lp.run(model, [lp.QuantizeStatic(target.rules, task)])
    return lp.export(small, target, tmp_path_factory.mktemp("chip")), target, task


def test_flash_ram_and_instructions_are_counted(artifact):
    file, target, task = artifact
    processor("cortex-m4")
    rows = {m.quantity: m for m in lp.measure(file, target, task)}
    assert {"flash", "peak_ram", "instructions", "metric", "size"} <= set(rows)
    assert all(rows[name].method == "simulated" for name in ("flash", "peak_ram", "instructions"))
    macs = 8 * 9 * 36 + 8 * 4
    assert macs < rows["instructions"].value < 20 * macs
    assert 112 < rows["flash"].value < 10_000
    assert 64 + 4 < rows["peak_ram"].value < 3_000


def test_without_the_tools_flash_and_ram_are_estimated(artifact, monkeypatch):
    file, target, _ = artifact
    monkeypatch.setattr(chips, "missing_tools", lambda _: ["arm-none-eabi-gcc"])
    rows = {m.quantity: m for m in chip_costs(file, target)}
    assert set(rows) == {"flash", "peak_ram"}
    assert all(row.method == "estimated" for row in rows.values())


def test_other_targets_have_no_chip(artifact):
    file, target, _ = artifact
    assert chip_costs(file, replace(target, processor="")) == ()


def test_a_board_of_ones_own_has_its_processor(artifact):
    file, target, _ = artifact
    board = replace(target, name="my-board")
    assert {m.quantity for m in chip_costs(file, board)} >= {"flash", "peak_ram"}
    with pytest.raises(UnsupportedError, match=r"'my-board' has the processor 'cortex-m5'.*m55"):
        chip_costs(file, replace(board, processor="cortex-m5"))


def test_sources_that_do_not_compile_are_told(tmp_path):
    chip = processor("cortex-m4")
    assert shutil.which("arm-none-eabi-gcc")
    (tmp_path / "wrong.c").write_text("int main(void) { return nothing; }")
    with pytest.raises(MeasureError, match="nothing"):
        build(chip, [tmp_path / "wrong.c"], tmp_path / "x.elf")
