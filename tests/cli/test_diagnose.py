"""diagnose hands over what was typed, and tells what came of it."""

import shutil
import sys
from types import SimpleNamespace

import pytest
from tests.cli.test_model_file import GOOD
from tests.report.diagnoses import made_up

from lilliput.registry import Store


class FakeDiagnosis:
    """Stands where the work is: fills the folder, remembers how it was called."""

    def __init__(self, filled):
        self.filled, self.called = filled, None

    def diagnose(self, model, task, target, budget, **settings):
        self.called = {"target": target, "budget": budget, **settings}
        settings["tell"]("a line")
        sys.stdout.write("noise of a library")
        shutil.copytree(self.filled, settings["out"])
        made = made_up()
        Store(settings["out"]).note("diagnoses", {"onnxruntime-cpu 8 bits": made.as_dict()})
        return made


@pytest.fixture
def model_file(tmp_path):
    path = tmp_path / "net.py"
    path.write_text(GOOD)
    return path


@pytest.fixture
def work(monkeypatch, filled):
    fake = FakeDiagnosis(filled)
    monkeypatch.setitem(sys.modules, "lilliput.diagnose", SimpleNamespace(diagnose=fake.diagnose))
    return fake


def test_everything_typed_arrives(work, lilliput, model_file, tmp_path):
    called = lilliput(
        *("diagnose", f"{model_file}:tiny", "-o", tmp_path / "run", "-t", "litert-cpu"),
        *("--max-drop", "1%", "--bits", 4, "--samples", 64, "--epochs", 2, "--seed", 7),
        *("--layer", "conv1", "--layer", "head*"),
    )
    assert called.code == 0
    assert work.called["target"] == "litert-cpu"
    assert work.called["budget"].max_drop == 0.01
    settings = {k: work.called[k] for k in ("bits", "samples", "epochs", "seed", "only")}
    assert settings == {
        "bits": 4,
        "samples": 64,
        "epochs": 2,
        "seed": 7,
        "only": ("conv1", "head*"),
    }


def test_tables_name_the_culprits_and_the_remedies(work, lilliput, model_file, tmp_path):
    called = lilliput("diagnose", model_file, "--max-drop", "1%", "-o", tmp_path / "run")
    assert called.code == 0
    lines = called.out.splitlines()
    first = next(line for line in lines if line.startswith("layer1.0.conv1"))
    assert "0.900" in first
    assert "25.00 (10.00 to 40.00)" in first
    kept = next(line for line in lines if line.startswith("keep the worst higher"))
    assert "29.60 (20.00 to 35.00)" in kept
    assert "layer1.0.conv1" in kept
    assert (tmp_path / "run" / "report.html").exists()
    assert "a line" in called.err


def test_json_is_alone_on_stdout(work, lilliput, model_file, tmp_path):
    called = lilliput("diagnose", model_file, "--max-drop", "1%", "-o", tmp_path / "run", "--json")
    assert called.json["culprits"][0]["name"] == "layer1.0.conv1"
    assert called.json["culprits"][0]["alone"]["method"] == "simulated"
    assert called.json["tried"][0]["drop"]["method"] == "measured"


def test_without_a_limit_it_is_refused(work, lilliput, model_file):
    called = lilliput("diagnose", model_file)
    assert called.code == 2
    assert "--max-drop" in called.err
    assert work.called is None


def test_an_unknown_target_is_refused_before_the_model_is_loaded(work, lilliput, tmp_path):
    called = lilliput("diagnose", tmp_path / "gone.py", "-t", "litert-cpuu", "--max-drop", "1%")
    assert called.code == 1
    assert "did you mean 'litert-cpu'?" in called.err
