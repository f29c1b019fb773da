"""compare hands over what was typed, and tells what came of it."""

import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
from tests.cli.test_model_file import GOOD
from tests.report.comparisons import made_up

import lilliput as lp


class FakeComparison:
    """Stands where the work is: remembers how it was called."""

    def __init__(self):
        self.called, self.found = None, made_up()

    def compare(self, model, task, passes, target, **settings):
        self.called = {"passes": passes, "target": target.name, **settings}
        settings["tell"]("a line")
        sys.stdout.write("noise of a library")
        settings["out"].mkdir()
        return self.found


@pytest.fixture
def model_file(tmp_path):
    path = tmp_path / "net.py"
    path.write_text(GOOD)
    return path


@pytest.fixture
def work(monkeypatch):
    fake = FakeComparison()
    monkeypatch.setitem(sys.modules, "lilliput.compare", SimpleNamespace(compare=fake.compare))
    return fake


def test_everything_typed_arrives(work, lilliput, model_file, tmp_path):
    called = lilliput(
        *("compare", f"{model_file}:tiny", "--ratio", 0.25, "--epochs", 3, "--seeds", 4),
        *("--seed", 5, "-t", "litert-cpu", "--original-epochs", 20, "--no-teacher"),
        *("--fine-tune-rate", 0.02, "--scratch-rate", 0.2, "-o", tmp_path / "run"),
    )
    assert called.code == 0, called.err
    assert work.called["passes"] == (lp.PruneChannels(0.25),)
    wanted = {
        "target": "litert-cpu",
        "out": tmp_path / "run",
        "epochs": 3,
        "original_epochs": 20,
        "seeds": (5, 6, 7, 8),
        "with_teacher": False,
        "fine_tune_rate": 0.02,
        "scratch_rate": 0.2,
    }
    assert {name: work.called[name] for name in wanted} == wanted


def test_a_recipe_says_what_prunes(work, lilliput, model_file, tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('[[pass]]\nname = "PruneChannels"\nratio = 0.3\nis_global = true\n')
    called = lilliput("compare", model_file, "--recipe", recipe, "-o", tmp_path / "run")
    assert called.code == 0
    assert work.called["passes"] == (lp.PruneChannels(0.3, is_global=True),)


def test_it_ends_with_table_verdict_and_page(work, lilliput, model_file, tmp_path):
    called = lilliput("compare", model_file, "-o", tmp_path / "run")
    assert work.called["passes"] == (lp.PruneChannels(0.5),)
    line = next(line for line in called.out.splitlines() if line.startswith("scratch, same epochs"))
    assert "90.00 % (89.00 to 91.00)" in line
    assert "2.00 (1.00 to 3.00)" in line
    assert "no clear answer: scratch, same compute differs" in called.out
    assert (tmp_path / "run" / "comparison.html").is_file()
    assert "narrower: left out, the loss is <nan>" in called.err
    assert "pruned: every seed gave the <same> file" in called.err


def test_json_is_alone_on_stdout(work, lilliput, model_file, tmp_path):
    called = lilliput("compare", model_file, "-o", tmp_path / "run", "--json")
    assert called.json["rows"][1]["lead"]["value"] == 0.02
    assert called.json["report"] == str(tmp_path / "run" / "comparison.html")


def test_ctrl_c_says_how_to_go_on(work, lilliput, model_file, tmp_path):
    work.found = replace(made_up(), rows=(), was_stopped=True)
    called = lilliput("compare", model_file, "-o", tmp_path / "run")
    assert called.code == 130
    assert "run the same command again" in called.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--seeds", 1), "--seeds"),
        (("--epochs", 0), "--epochs"),
        (("--ratio", 0.5, "--recipe", "r.toml"), "give one"),
    ],
)
def test_bad_values_are_usage_errors(options, said, work, lilliput, model_file):
    called = lilliput("compare", model_file, *options)
    assert called.code == 2
    assert said in called.err
    assert work.called is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--ratio", 1.5), "ratio must be at least 0 and below 1, got 1.5"),
        (("--recipe", "gone.toml"), "no file or recipe is called 'gone.toml'"),
        (("-t", "litert-cpuu"), "did you mean 'litert-cpu'?"),
    ],
)
def test_wrong_names_and_ratios_are_one_line(options, said, work, lilliput, model_file):
    called = lilliput("compare", model_file, *options)
    assert called.code == 1
    assert said in called.err
    assert len(called.err.splitlines()) == 1
    assert work.called is None
