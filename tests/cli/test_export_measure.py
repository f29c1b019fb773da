"""export writes a file by hand, measure runs it."""

import sys

import pytest
import torch
from tests.cli.test_model_file import GOOD

from lilliput.export import load

RECIPE = """
[[pass]]
name = "FuseBatchNorm"
"""


@pytest.fixture
def model_file(tmp_path):
    path = tmp_path / "net.py"
    path.write_text(GOOD.replace("def model():", "def model():\n    torch.manual_seed(0)"))
    return path


def test_export_writes_a_file_that_says_what_the_network_says(lilliput, model_file, tmp_path):
    value = lilliput("export", model_file, "-o", tmp_path / "out", "--json").json
    assert value["path"] == str(tmp_path / "out" / "model.onnx")
    assert value["size_bytes"] == (tmp_path / "out" / "model.onnx").stat().st_size
    assert value["parity"] < 1e-4
    torch.manual_seed(0)
    net = torch.nn.Linear(3, 2)
    x = torch.randn(4, 3)
    found = load(value["path"], "onnx")((x.numpy(),))[0]
    assert torch.allclose(torch.from_numpy(found), net(x), atol=1e-5)


def test_export_applies_the_recipe(lilliput, model_file, tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE)
    called = lilliput(
        *("export", model_file, "--recipe", recipe, "--out", tmp_path / "out", "--json")
    )
    assert called.json["passes"] == ["FuseBatchNorm"]
    assert "FuseBatchNorm" in called.err


def test_training_that_was_stopped_goes_on(lilliput, model_file, tmp_path, monkeypatch):
    recipe, out = tmp_path / "recipe.toml", tmp_path / "out"
    recipe.write_text('[[pass]]\nname = "FineTune"\n')
    command = ("export", model_file, "--recipe", recipe, "-o", out)
    with monkeypatch.context() as change:
        change.setattr(sys.modules["lilliput.export"], "export", _stop)
        assert lilliput(*command).code != 0
    assert (out / "begun-0" / "0" / "checkpoint.json").is_file()
    with monkeypatch.context() as change:
        change.setattr("lilliput.train.loop._Loop._step", _stop)  # nothing is trained again
        done = lilliput(*command)
    assert done.code == 0, done.err
    assert not (out / "begun-0").exists()


def _stop(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("text", "said"),
    [("[[pass]]\nname = 'FuseBatchNrom'", "FuseBatchNorm"), ("[[pass", "not valid TOML")],
)
def test_a_bad_recipe_is_one_line(text, said, lilliput, model_file, tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(text)
    called = lilliput("export", model_file, "--recipe", recipe, "-o", tmp_path / "out")
    assert called.code == 1
    assert said in called.err
    assert len(called.err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_missing_recipe_is_named(lilliput, model_file, tmp_path):
    called = lilliput("export", model_file, "--recipe", tmp_path / "gone.toml")
    assert called.code == 1
    assert "gone.toml" in called.err


def test_measure_scores_the_file(lilliput, model_file, tmp_path):
    path = lilliput("export", model_file, "-o", tmp_path / "out", "--json").json["path"]
    called = lilliput("measure", path, "--task", model_file, "--reference", path, "--json")
    assert called.err == ""
    found = {row["quantity"]: row for row in called.json}
    assert found["drop"]["value"] == 0
    assert found["size"]["value"] == (tmp_path / "out" / "model.onnx").stat().st_size
    assert found["latency"]["unit"] == "ms"
    table = lilliput("measure", path, "--task", f"{model_file}:tiny").out
    assert "latency" in table


def test_a_packed_file_is_measured_without_naming_its_target(lilliput, model_file, tmp_path):
    path = lilliput("export", model_file, "-t", "download", "-o", tmp_path, "--json").json["path"]
    called = lilliput("measure", path, "--task", model_file, "--json")
    found = {row["quantity"]: row["value"] for row in called.json}
    assert found["size"] == (tmp_path / "model.lil").stat().st_size
    lilliput("unpack", path)
    assert found["flash"] == (tmp_path / "model.onnx").stat().st_size


def test_measure_needs_a_file_and_a_split(lilliput, model_file, tmp_path):
    called = lilliput("measure", tmp_path / "gone.onnx", "--task", model_file)
    assert called.code == 1
    assert "gone.onnx" in called.err
    assert lilliput("measure", model_file, "--task", model_file, "--split", "train").code == 2


def test_a_file_for_another_runtime_is_refused(lilliput, model_file, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(b"TFL3")
    called = lilliput("measure", path, "--task", model_file, "--target", "onnxruntime-cpu")
    assert called.code == 1
    assert "--target" in called.err


def test_data_of_another_shape_than_the_example_is_refused_before_the_recipe(
    lilliput, model_file, tmp_path
):
    model_file.write_text(model_file.read_text().replace("zeros(1, 3)", "zeros(1, 5)"))
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE)
    called = lilliput("export", model_file, "--recipe", recipe, "-o", tmp_path / "out")
    assert called.code == 1
    assert "has shape [2, 3], but its example input [1, 5]" in called.err
    assert not (tmp_path / "out").exists()


def test_a_file_that_takes_other_inputs_than_the_task_gives_is_one_line(
    lilliput, model_file, tmp_path
):
    path = lilliput("export", model_file, "-o", tmp_path / "out", "--json").json["path"]
    other = tmp_path / "other.py"
    text = model_file.read_text().replace(
        "lp.Task(", "lp.Task(split=lambda b: ((b[0], b[0]), b[1]), "
    )
    other.write_text(text)
    called = lilliput("measure", path, "--task", other)
    assert called.code == 1
    assert "takes 1 input, input [batch, 3], but the task gives 2 inputs" in called.err
    assert len(called.err.splitlines()) == 1


@pytest.mark.parametrize("verb", ["inspect", "compress", "export", "measure"])
def test_a_data_folder_that_is_not_there_is_refused_even_where_no_file_asks_for_it(
    verb, lilliput, model_file, tmp_path
):
    more = ["--task", model_file] if verb == "measure" else []
    called = lilliput(verb, model_file, *more, "--data", tmp_path / "gone")
    assert called.code == 1
    assert "gone does not exist; pass --data DIR" in called.err


WEIGHTS = """
[[pass]]
name = "QuantizeWeights"
bits = 3
granularity = { name = "PerTensor" }
"""


def test_what_runs_otherwise_is_said_and_strict_refuses_it(lilliput, model_file, tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(WEIGHTS)
    command = ("export", model_file, "--recipe", recipe, "-o", tmp_path / "out", "--json")
    called = lilliput(*command)
    assert called.json["weights"] == "stored 4, runs float"
    (note,) = called.json["notes"]
    assert "(linear) has weights of 3 bits, stored at 4" in note
    assert f"note: {note}" in called.err
    (tmp_path / "out" / "model.onnx").unlink()
    called = lilliput(*command, "--strict")
    assert called.code == 1
    assert "strict allows nothing else: " in called.err
    assert not (tmp_path / "out" / "model.onnx").exists()


def test_measure_says_at_once_that_a_target_runs_elsewhere(lilliput, tmp_path, monkeypatch):
    monkeypatch.setattr("platform.system", lambda: "Linux")
    called = lilliput(
        *("measure", tmp_path / "gone.zip", "--task", tmp_path / "gone.py", "-t", "coreml")
    )
    assert called.code == 1
    assert "'coreml' runs on macOS alone" in called.err


def test_export_for_another_system_writes_the_file_and_says_it_was_not_compared(
    lilliput, model_file, tmp_path, monkeypatch
):
    pytest.importorskip("coremltools")
    monkeypatch.setattr("platform.system", lambda: "Linux")
    arguments = ("export", model_file, "-o", tmp_path / "out", "-t", "coreml")
    value = lilliput(*arguments, "--json").json
    assert value["path"] == str(tmp_path / "out" / "model.mlpackage.zip")
    assert value["parity"] is None
    assert "not compared with the network" in lilliput(*arguments).out


def test_a_file_that_nothing_installed_runs_is_written_and_what_runs_it_is_named(
    lilliput, model_file, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "openvino", None)
    arguments = ("export", model_file, "--target", "openvino-cpu", "-o", tmp_path / "out")
    called = lilliput(*arguments)
    assert (tmp_path / "out" / "model.onnx").is_file()
    assert "not compared with the network: " in called.out
    assert "pip install 'lilliput[openvino]'" in called.out
