import sys

import numpy as np
import pytest

from lilliput.core import Artifact, MeasureError, Target
from lilliput.measure.harness import Worker

TARGET = Target("onnxruntime-cpu", "onnx")
ANSWER = """
import json, struct, sys
def answer(**header):
    text = json.dumps({"arrays": [], **header}).encode()
    sys.stdout.buffer.write(b"LILM" + struct.pack("<I", len(text)) + text)
    sys.stdout.buffer.flush()
"""

READ = "; sys.stdin.buffer.read()"  # the question is larger than a pipe holds


def worker(tmp_path, monkeypatch, script, limit_s=60.0):
    """A worker that runs a script of ours in place of a runtime."""
    monkeypatch.setattr(Worker, "_command", staticmethod(lambda: [sys.executable, "-c", script]))
    path = tmp_path / "model.onnx"
    path.write_bytes(b"x")
    return Worker(Artifact.of(path, "onnx"), TARGET, limit_s)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("import os; os.kill(os.getpid(), 11)", "signal SIGSEGV"),
        ("import sys; print('bad kernel', file=sys.stderr); sys.exit(3)", "code 3.*bad kernel"),
        (ANSWER + "print('I log to stdout', flush=True)" + READ, "a frame begins with"),
        ("", "exit code 0; its last words: none"),
        (
            ANSWER + "answer(error='ExportError', message='no ONNX')" + READ,
            r"model\.onnx does not run: no",
        ),
    ],
)
def test_a_runtime_that_fails_is_an_error_with_its_last_words(tmp_path, monkeypatch, script, said):
    with (
        worker(tmp_path, monkeypatch, script) as running,
        pytest.raises(MeasureError, match=said),
    ):
        running.open((np.zeros((1, 200_000), np.float32),))


def test_a_runtime_that_hangs_is_stopped(tmp_path, monkeypatch):
    script = "import time; time.sleep(60)"
    with (
        worker(tmp_path, monkeypatch, script, 0.3) as running,
        pytest.raises(MeasureError, match=r"longer than the 0\.3 s allowed.*time_limit_s"),
    ):
        running.open((np.zeros(1, np.float32),))


def test_time_spent_between_questions_does_not_count(tmp_path, monkeypatch):
    script = ANSWER + "answer(outputs=[], peak_ram_bytes=1, runs=1)\nimport time; time.sleep(60)"
    with worker(tmp_path, monkeypatch, script, 30.0) as running:
        running.open(())
        left = running.left_s
        assert 0 < left < 30
        assert running.left_s == left


def test_no_process_is_left_behind(tmp_path, monkeypatch):
    with worker(tmp_path, monkeypatch, "import time; time.sleep(60)") as running:
        process = running._process
        assert process.poll() is None
    assert process.poll() is not None


def test_threads_are_pinned_in_the_environment(tmp_path, monkeypatch):
    script = (
        ANSWER
        + "import os; answer(outputs=[os.environ['OMP_NUM_THREADS']], peak_ram_bytes=1, runs=1)"
        + READ
    )
    with worker(tmp_path, monkeypatch, script) as running:
        assert running.open(()).outputs == ("1",)
