import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

WORKER = str(Path(__file__).with_name("ddp_worker.py"))
STOPPED_WORKER = str(Path(__file__).with_name("ddp_stopped_worker.py"))


@pytest.mark.slow
def test_two_processes_train_what_one_does(tmp_path: Path) -> None:
    """Gradients of two processes' slices are that of the whole batch, by gloo on the CPU."""
    alone, together = tmp_path / "alone", tmp_path / "together"
    alone.mkdir()
    together.mkdir()
    _run([sys.executable, WORKER, str(alone)])
    _run([*_torchrun(29533), WORKER, str(together)])
    expected = load_file(alone / "0.safetensors")
    parts = [load_file(together / f"{rank}.safetensors") for rank in (0, 1)]
    examples = [{tuple(row) for row in found.pop("seen").tolist()} for found in (expected, *parts)]
    for name, value in expected.items():
        torch.testing.assert_close(parts[0][name], value, rtol=1e-4, atol=1e-6)
        assert torch.equal(parts[0][name], parts[1][name])
    whole, first, second = examples
    assert first | second == whole
    assert not first & second


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two processes saw that were interrupted, or met a NaN in one of them."""
    folder = tmp_path_factory.mktemp("stopped")
    _run([*_torchrun(29534), STOPPED_WORKER, str(folder)])
    return [json.loads((folder / str(rank) / "seen.json").read_text()) for rank in (0, 1)]


@pytest.mark.slow
def test_processes_without_a_common_disk_resume_from_that_of_the_first(stopped) -> None:
    assert [seen["has_checkpoint"] for seen in stopped] == [True, False]
    for seen in stopped:
        assert seen["resumed_at"] == stopped[0]["resumed_at"]
        assert seen["resumed_at"] in (6, 12)
        assert seen["is_as_uninterrupted"]


@pytest.mark.slow
def test_a_nan_in_one_process_ends_all(stopped) -> None:
    assert "the loss of another process is not finite by step 20 of 24" in stopped[0]["nan"]
    assert "the loss is nan at step 20 of 24" in stopped[1]["nan"]


def _torchrun(port: int) -> list[str]:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    return [*torchrun, "--master-port", str(port)]


def _run(arguments: list[str]) -> None:
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
