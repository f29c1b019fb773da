"""compress hands over what was typed, and reports what came of it."""

import shutil
import sys
from types import SimpleNamespace

import pytest
from tests.cli.test_model_file import GOOD

from lilliput.registry import Store


class FakeSearch:
    """Stands where the search is: fills the folder, remembers how it was called."""

    def __init__(self, filled):
        self.filled, self.lines, self.called = filled, (), None
        self.was_stopped = False

    def compress(self, model, task, budget, **settings):
        self.called = {"task": task.name, "budget": budget, **settings}
        for line in self.lines:
            settings["tell"](line)
        sys.stdout.write("noise of a library")
        shutil.copytree(self.filled, settings["out"])
        store = Store(settings["out"])
        store.note("was_stopped", self.was_stopped)
        return store.family()


@pytest.fixture
def model_file(tmp_path):
    path = tmp_path / "net.py"
    path.write_text(GOOD)
    return path


@pytest.fixture
def search(monkeypatch, filled):
    fake = FakeSearch(filled)
    monkeypatch.setitem(sys.modules, "lilliput.compress", SimpleNamespace(compress=fake.compress))
    return fake


def test_everything_typed_arrives(search, lilliput, model_file, tmp_path):
    called = lilliput(
        *("compress", f"{model_file}:tiny", "--out", tmp_path / "run", "--seed", 7),
        *("--target", "onnxruntime-cpu", "-t", "litert-cpu", "--time-budget", "1h30m"),
        *("--max-drop", "1%", "--max-size", "250kB", "--max-latency", "2ms", "--max-ram", "10MB"),
    )
    assert called.code == 0
    assert search.called["budget"].limits() == {
        "drop": 0.01,
        "size": 250_000.0,
        "latency": 2.0,
        "peak_ram": 10e6,
    }
    assert search.called["targets"] == ("onnxruntime-cpu", "litert-cpu")
    assert search.called["time_budget_s"] == 5400
    assert search.called["seed"] == 7
    assert search.called["out"] == tmp_path / "run"


def test_it_ends_with_table_headline_and_report(search, lilliput, model_file, tmp_path):
    called = lilliput("compress", model_file, "-o", tmp_path / "run")
    assert "onnxruntime-cpu: pruned-70: 5.1 times smaller" in called.out
    assert (tmp_path / "run" / "report.html").is_file()
    assert str(tmp_path / "run" / "report.html") in called.out


def test_json_is_all_there_is_on_stdout(search, lilliput, model_file, tmp_path):
    search.lines = ("original on onnxruntime-cpu: metric 0.9",)
    called = lilliput("compress", model_file, "-o", tmp_path / "run", "--json")
    assert len(called.json["variants"]) == 16
    assert "noise of a library" in called.err
    assert "original on onnxruntime-cpu" in called.err


def test_the_run_is_named_after_the_model(search, lilliput, model_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert lilliput("compress", f"{model_file}:tiny").code == 0
    assert len(Store("runs/tiny").family().variants) == 16


def test_ctrl_c_says_what_was_kept(search, lilliput, model_file, tmp_path):
    search.was_stopped = True
    called = lilliput("compress", model_file, "-o", tmp_path / "run")
    assert called.code == 130
    assert f"16 variants kept in {tmp_path / 'run'}" in called.err


@pytest.mark.parametrize(
    ("option", "value"), [("--max-drop", "lots"), ("--time-budget", "soon"), ("--max-size", "-1")]
)
def test_bad_values_are_usage_errors(option, value, search, lilliput, model_file):
    called = lilliput("compress", model_file, option, value)
    assert called.code == 2
    assert search.called is None


def test_a_percent_of_a_metric_that_is_no_share_is_refused(search, lilliput, tmp_path):
    class_ = (
        "class Decibel:\n    higher_is_better = True\n    def update(self, y, t): ...\n"
        "    def compute(self): return 31.5\n"
    )
    path = tmp_path / "psnr.py"
    path.write_text(class_ + GOOD.replace("lp.Accuracy()", "Decibel()"))
    called = lilliput("compress", path, "--max-drop", "1%", "-o", tmp_path / "run")
    assert called.code == 2
    assert "31.5" in called.err
    assert lilliput("compress", path, "--max-drop", "0.5", "-o", tmp_path / "run").code == 0


def test_an_unknown_target_is_refused_before_the_model_is_loaded(search, lilliput, tmp_path):
    called = lilliput("compress", tmp_path / "gone.py", "--target", "litert-cpuu")
    assert called.code == 1
    assert "did you mean 'litert-cpu'?" in called.err
