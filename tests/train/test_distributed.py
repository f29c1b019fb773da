import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

WORKER = str(Path(__file__).with_name("ddp_worker.py"))


@pytest.mark.slow
def test_two_processes_train_what_one_does(tmp_path: Path) -> None:
    """Gradients of two processes' slices are that of the whole batch, by gloo on the CPU."""
    alone, together = tmp_path / "alone", tmp_path / "together"
    alone.mkdir()
    together.mkdir()
    _run([sys.executable, WORKER, str(alone)])
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    _run([*torchrun, "--master-port", "29533", WORKER, str(together)])
    expected = load_file(alone / "0.safetensors")
    parts = [load_file(together / f"{rank}.safetensors") for rank in (0, 1)]
    examples = [{tuple(row) for row in found.pop("seen").tolist()} for found in (expected, *parts)]
    for name, value in expected.items():
        torch.testing.assert_close(parts[0][name], value, rtol=1e-4, atol=1e-6)
        assert torch.equal(parts[0][name], parts[1][name])
    whole, first, second = examples
    assert first | second == whole
    assert not first & second


def _run(arguments: list[str]) -> None:
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
