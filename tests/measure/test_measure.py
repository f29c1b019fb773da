"""Real files in real runtimes, in processes of their own."""

import dataclasses
import sys

import onnx
import pytest
import torch
from torch import nn

from lilliput.core import Artifact, MeasureError, Model, Target
from lilliput.export import export
from lilliput.graph import trace
from lilliput.measure import Reference, device_name, harness, measure, measure_test, score
from lilliput.testing.nets import image_classifier, two_input_transformer, two_output_regressor

TARGET = Target("onnxruntime-cpu", "onnx")


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    monkeypatch.setattr(harness, "_ROUNDS_S", 0.1)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classifier")
    model, task = image_classifier()
    torch.export.save(trace(model).program, folder / "eager.pt2")
    return export(model, TARGET, folder), folder / "eager.pt2", model, task


def by_name(measurements):
    return {m.quantity: m for m in measurements}


def test_everything_is_measured_of_a_file_beside_its_original(classifier, tmp_path):
    original, eager, model, task = classifier
    other = model.clone()
    with torch.no_grad():
        other.module.head.weight.zero_()
        other.module.head.bias.copy_(torch.tensor([1.0, 0, 0, 0]))
    artifact = export(other, TARGET, tmp_path)
    reference = Reference(original, eager, cache=tmp_path / "scores")
    found = by_name(measure(artifact, TARGET, task, reference))
    assert set(found) == {
        "metric",
        "drop",
        "size",
        "latency",
        "latency_ratio",
        "latency_ratio_eager",
        "peak_ram",
    }
    labels = torch.cat([labels for _, labels in task.batches("validation")])
    assert found["metric"].value == pytest.approx(float((labels == 0).float().mean()))
    with torch.no_grad():
        right = [(model.module(*x).argmax(1) == y).float() for x, y in task.batches("validation")]
    whole = float(torch.cat(right).mean())
    assert found["drop"].value == pytest.approx(whole - found["metric"].value)
    assert found["drop"].low < found["drop"].value < found["drop"].high
    assert found["size"].value == artifact.path.stat().st_size
    assert 0 < found["latency"].low <= found["latency"].value <= found["latency"].high < 100
    assert 0.2 < found["latency_ratio"].value < 5
    assert found["latency_ratio_eager"].value < 1
    assert 1e6 < found["peak_ram"].value < 500e6
    assert all(m.method == "measured" for m in found.values())
    assert found["latency"].device == device_name(TARGET)
    # the reference was scored, and a later process need not
    assert len(list((tmp_path / "scores").glob("*.npz"))) == 1


def test_two_outputs_are_scored_and_the_original_has_no_drop_from_itself(tmp_path):
    model, task = two_output_regressor()
    artifact = export(model, TARGET, tmp_path)
    found = by_name(measure_test(artifact, TARGET, task, Reference(artifact)))
    metric = task.fresh_metric()
    with torch.no_grad():
        for inputs, labels in task.batches("test"):
            metric.update(model.module(*inputs), labels)
    assert found["test_metric"].value == pytest.approx(metric.compute(), rel=1e-5)
    assert found["test_metric"].unit == "MeanAbsoluteError"
    drop = found["test_drop"]
    assert (drop.value, drop.low, drop.high) == (0.0, 0.0, 0.0)


def test_scores_are_read_from_the_cache_by_file_data_and_metric(classifier, tmp_path, monkeypatch):
    artifact, _, _, task = classifier
    first = score(artifact, TARGET, task, "validation", tmp_path)
    # the room and its verb share a name
    monkeypatch.setattr(sys.modules["lilliput.measure.measure"], "Worker", None)
    again = score(artifact, TARGET, task, "validation", tmp_path)
    assert (again.value, again.samples) == (first.value, first.samples)
    assert (again.values == first.values).all()
    with pytest.raises(TypeError):  # no worker: it would have been scored
        score(artifact, TARGET, task, "test", tmp_path)
    (stored,) = tmp_path.glob("*.npz")
    stored.write_bytes(stored.read_bytes()[:100])
    with pytest.raises(TypeError):
        score(artifact, TARGET, task, "validation", tmp_path)


def test_a_file_that_changed_is_refused(classifier, tmp_path):
    artifact, _, _, task = classifier
    path = tmp_path / "model.onnx"
    path.write_bytes(artifact.path.read_bytes()[:-7])
    with pytest.raises(MeasureError, match="damaged"):
        measure(dataclasses.replace(artifact, path=path), TARGET, task)
    with pytest.raises(MeasureError, match="not there"):
        measure(dataclasses.replace(artifact, path=tmp_path / "none.onnx"), TARGET, task)


def test_a_file_no_runtime_can_read_is_an_error_that_names_it(classifier, tmp_path):
    artifact, _, _, task = classifier
    path = tmp_path / "cut.onnx"
    path.write_bytes(artifact.path.read_bytes()[:-700])
    with pytest.raises(MeasureError, match=r"cut\.onnx"):
        measure(Artifact.of(path, "onnx"), TARGET, task)


def test_an_output_that_is_not_a_number_is_named(tmp_path):
    class Root(nn.Module):
        def forward(self, x):
            return torch.sqrt(x)

    _, task = image_classifier()
    inputs, _ = next(task.batches("validation"))
    artifact = export(Model(Root(), (inputs[0][:2],)), TARGET, tmp_path)
    name = onnx.load(artifact.path).graph.output[0].name
    with pytest.raises(MeasureError, match=rf"output '{name}' of .* holds NaN for 32 of 32"):
        score(artifact, TARGET, task)


def test_a_file_of_other_inputs_is_told_whether_it_is_measured_or_compared_with(
    classifier, tmp_path
):
    image, _, _, image_task = classifier
    model, task = two_input_transformer()
    tokens = export(model, TARGET, tmp_path)
    said = rf"^{tokens.path} takes 2 inputs, .* task gives 1 input, of shape \[1, 3, 8, 8\]"
    with pytest.raises(MeasureError, match=said):
        measure(tokens, TARGET, image_task)
    with pytest.raises(MeasureError, match=said):
        measure(image, TARGET, image_task, Reference(tokens))
    with pytest.raises(MeasureError, match=rf"^{image.path} takes 1 input, "):
        score(image, TARGET, task)


def test_a_later_batch_of_another_size_is_named(classifier):
    artifact, _, _, task = classifier
    inputs, labels = task.validation[0]
    larger = dataclasses.replace(task, validation=[(inputs, labels), (inputs[..., :7], labels)])
    with pytest.raises(MeasureError, match=r"image \[batch, 3, 8, 8\], .* gives \[32, 3, 8, 7\]"):
        score(artifact, TARGET, larger)
