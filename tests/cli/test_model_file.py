"""A model file that lacks something says what it has and what to write."""

import pytest
import torch

from lilliput.cli.model_file import load_both, load_model, load_task, name_of
from lilliput.core import Model, ModelFileError, Task, TaskError
from lilliput.core.data import data_dir, set_data_dir

GOOD = """
import torch
from torch import nn
import lilliput as lp

DATA = [(torch.zeros(2, 3), torch.zeros(2, dtype=torch.long))]

def model():
    return lp.Model(nn.Linear(3, 2), (torch.zeros(1, 3),))

def task():
    loss = nn.functional.cross_entropy
    return lp.Task(name="t", train=DATA, validation=DATA, loss=loss, metric=lp.Accuracy())

def tiny():
    return model(), task()

def wrong():
    return model()

def bare():
    return nn.Linear(3, 2)

def nothing():
    model()

def fails():
    raise FloatingPointError("no weights")

def needs_data():
    return model(), lp.Task(name=str(lp.data_dir()), train=DATA, validation=DATA,
                            loss=nn.functional.cross_entropy, metric=lp.Accuracy())
"""

RAISES = GOOD[: GOOD.index("    raise")].count("\n") + 1


@pytest.fixture
def good(tmp_path):
    path = tmp_path / "good.py"
    path.write_text(GOOD)
    return path


def test_model_and_task_are_called(good):
    assert isinstance(load_model(str(good)), Model)
    assert isinstance(load_task(str(good)), Task)
    model, task = load_both(str(good))
    assert model.example_inputs[0].shape == (1, 3)
    assert task.name == "t"
    assert name_of(str(good)) == "good"


def test_a_name_chooses_a_pair(good):
    model, task = load_both(f"{good}:tiny")
    assert isinstance(load_model(f"{good}:tiny"), Model)
    assert isinstance(model.module, torch.nn.Linear)
    assert load_task(f"{good}:tiny").name == task.name
    assert name_of(f"{good}:tiny") == "tiny"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("tyny", "did you mean tiny()?"),
        ("wrong", "must give (lilliput.Model, lilliput.Task), got Model"),
        ("bare", "example_inputs=(x,)"),
        ("nothing", "does the function end in return?"),
        ("fails", f"line {RAISES}: FloatingPointError: no weights"),
    ],
)
def test_what_is_wrong_with_a_function_is_said(name, said, good):
    with pytest.raises(ModelFileError) as caught:
        load_both(f"{good}:{name}")
    assert said in str(caught.value)


def test_a_file_without_model_lists_what_it_has(tmp_path):
    path = tmp_path / "odd.py"
    path.write_text("def modle(): ...\ndef _hidden(): ...\n")
    with pytest.raises(ModelFileError) as caught:
        load_model(str(path))
    text = str(caught.value)
    assert "has no function model()" in text
    assert "did you mean modle()?" in text
    assert "'def model() -> lilliput.Model'" in text
    assert "_hidden" not in text
    path.write_text("x = 1\n")
    with pytest.raises(ModelFileError, match="defines no public function"):
        load_task(str(path))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\ndef model(:\n", "line 2: invalid syntax"),
        ("x = 1\n\nimport not_a_module_at_all\n", "line 3: ModuleNotFoundError"),
        ("1 / 0\n", "line 1: ZeroDivisionError"),
    ],
)
def test_broken_files_are_shown_with_line(text, said, tmp_path):
    path = tmp_path / "broken.py"
    path.write_text(text)
    with pytest.raises(ModelFileError) as caught:
        load_model(str(path))
    assert str(path) in str(caught.value)
    assert said in str(caught.value)


def test_a_missing_file_gets_the_nearest(good):
    with pytest.raises(ModelFileError, match=r"did you mean good\.py\?"):
        load_model(str(good.with_name("god.py")))
    with pytest.raises(ModelFileError, match="there is no file"):
        load_model("/nowhere/at/all.py")


def test_what_is_not_python_is_refused(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"\0")
    with pytest.raises(ModelFileError, match=r"ends in \.py"):
        load_model(str(path))


def test_neighbours_can_be_imported(tmp_path):
    (tmp_path / "neighbour_of_a_model.py").write_text("WIDTH = 3\n")
    path = tmp_path / "imports.py"
    path.write_text(GOOD.replace("DATA =", "from neighbour_of_a_model import WIDTH\nDATA ="))
    assert isinstance(load_model(str(path)), Model)


def test_data_reaches_the_file(good, tmp_path, monkeypatch):
    monkeypatch.delenv("LILLIPUT_DATA", raising=False)
    with pytest.raises(TaskError, match="--data DIR"):
        load_task(f"{good}:needs_data")
    set_data_dir(tmp_path)
    try:
        assert load_task(f"{good}:needs_data").name == str(tmp_path)
    finally:
        set_data_dir(None)


def test_data_comes_from_the_environment_otherwise(tmp_path, monkeypatch):
    monkeypatch.setenv("LILLIPUT_DATA", str(tmp_path))
    assert data_dir() == tmp_path
    monkeypatch.setenv("LILLIPUT_DATA", str(tmp_path / "gone"))
    with pytest.raises(TaskError, match="gone"):
        data_dir()
