import platform
from pathlib import Path

import pytest

import lilliput as lp
from lilliput.core import Artifact, Target, UnsupportedError
from lilliput.measure import measure
from lilliput.targets import get_target
from lilliput.targets.host import check_host, runs_here
from lilliput.testing.nets import image_classifier

MAC_ONLY = r"'coreml' runs on macOS alone, and this is Linux: .*measure it on macOS"


@pytest.fixture(autouse=True)
def on_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Linux")


def test_a_target_of_no_system_runs_anywhere() -> None:
    assert runs_here(Target("desk", "onnx"))
    assert not runs_here(get_target("coreml"))
    check_host(get_target("onnxruntime-cpu"))


def test_compress_refuses_another_systems_target_before_any_work(tmp_path: Path) -> None:
    model, task = image_classifier()
    with pytest.raises(UnsupportedError, match=MAC_ONLY):
        lp.compress(model, task, targets=["onnxruntime-cpu", "coreml"], out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_measure_refuses_it_before_it_reads_the_file(tmp_path: Path) -> None:
    _, task = image_classifier()
    artifact = Artifact(tmp_path / "model.mlpackage.zip", "coreml", "0")
    with pytest.raises(UnsupportedError, match=MAC_ONLY):
        measure(artifact, get_target("coreml"), task)
