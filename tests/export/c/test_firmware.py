"""The example firmware on a simulated Cortex-M4, where the toolchain is installed."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.export.c.test_generate import residual

pytest.importorskip("ai_edge_litert")

FIRMWARE = Path(__file__).parents[3] / "examples" / "firmware"
TOOLS = ("make", "arm-none-eabi-gcc", "qemu-system-arm")


@pytest.mark.skipif(not all(map(shutil.which, TOOLS)), reason="needs gcc for Arm, and QEMU")
def test_the_chip_answers_as_litert(tmp_path):
    program = f"{sys.executable} -c 'from lilliput.cli import main; main()'"
    settings = [f"MODEL={residual(tmp_path)}", f"BUILD={tmp_path / 'b'}", f"LILLIPUT={program}"]
    command = [str(shutil.which("make")), "-C", str(FIRMWARE), "run", "test", *settings]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "answers as LiteRT does" in done.stdout
    assert "stack, bytes:" in done.stderr  # where QEMU prints what the chip says
