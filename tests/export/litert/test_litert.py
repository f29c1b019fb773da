"""The converter takes seconds a file, so most of this is slow; one small net is not."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.export.nets import examples, quantized
from torch.utils._pytree import tree_leaves

from lilliput.core import ExportError, Model, QuantizationRules, run
from lilliput.export import Format, export, load, parity
from lilliput.export.litert import format as litert
from lilliput.export.litert.check import check_scales
from lilliput.export.litert.file import kinds, pack, read
from lilliput.export.litert.format import Litert, convert
from lilliput.export.lower import lower
from lilliput.quantize import ClusterWeights, palettes, quantizers
from lilliput.targets import get_target
from lilliput.testing import TINY_TASKS, FormatContract

TARGET = get_target("litert-cpu")
RULES = TARGET.rules
assert RULES is not None


@pytest.mark.slow
class TestLitert(FormatContract):
    @pytest.fixture
    def format_(self) -> Format:
        return Litert()


@pytest.fixture(scope="module")
def model() -> Model:
    return quantized("two_output_regressor", TARGET.name)


@pytest.fixture(scope="module")
def path(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("int8") / "model.tflite"
    Litert().write(model, path, TARGET)
    return path


def contents(path: Path) -> Any:
    return read(path.read_bytes(), path.name)


def agrees(model: Model, path: Path, tiny: str, steps: float) -> bool:
    """Whether all outputs are within so many steps of 255 in their range of the simulation's."""
    inputs = examples(tiny, 8)
    outputs = Litert().load(path, 1)(tuple(x.numpy() for x in inputs))
    with torch.no_grad():
        expected = [leaf.numpy() for leaf in tree_leaves(model.module(*inputs))]
    return all(
        np.abs(output - reference).max() <= steps * np.ptp(reference) / 255
        for output, reference in zip(outputs, expected, strict=True)
    )


def test_all_layers_run_in_integers(path: Path) -> None:
    file = contents(path)
    assert Counter(kinds(file, file.subgraphs[0])) == {"FULLY_CONNECTED": 4}
    kinds_of_numbers = {tensor.type for tensor in file.subgraphs[0].tensors}
    assert kinds_of_numbers <= {9, 2}  # int8, and int32 biases


def test_every_scale_is_the_network_s(model: Model, path: Path) -> None:
    tensors = [t for t in contents(path).subgraphs[0].tensors if t.type == 9]
    held = {tuple(np.ravel(t.quantization.scale).tolist()) for t in tensors}
    assert held == {tuple(q.scale.tolist()) for q in quantizers(model.module).values()}


def test_floats_go_in_and_out_and_agree_with_the_simulation(model: Model, path: Path) -> None:
    predictor = Litert().load(path, 1)
    assert [spec.name for spec in predictor.inputs] == ["sensors"]
    assert [spec.name for spec in predictor.outputs] == ["output", "output_1"]
    assert {spec.dtype for spec in [*predictor.inputs, *predictor.outputs]} == {"float32"}
    assert agrees(model, path, "two_output_regressor", steps=2)


def test_names_and_notes_of_the_converter_are_gone(path: Path) -> None:
    file = contents(path)
    names = {tensor.name for tensor in file.subgraphs[0].tensors}
    assert names == {None, b"sensors", b"output", b"output_1"}
    assert file.description is None
    assert [note.name for note in file.metadata] == [b"min_runtime_version"]


def test_constants_lie_at_multiples_of_sixteen_bytes(path: Path) -> None:
    data = np.fromfile(path, np.uint8)
    places = [
        buffer.data.ctypes.data - data.ctypes.data
        for buffer in read(data, "file").buffers
        if buffer.data is not None
    ]
    assert len(places) > 8
    assert not any(place % 16 for place in places)


@pytest.mark.slow
def test_a_file_whose_pairs_stayed_apart_is_refused(model: Model) -> None:
    one = replace(model, example_inputs=tuple(x[:1] for x in model.example_inputs))
    loose = convert(lower(one, stores_integers=False), fuses_pairs=False)
    with pytest.raises(ExportError, match="would run in floats"):
        check_scales(model.module, read(loose, "loose"), RULES)


def test_a_scale_that_is_not_the_network_s_is_refused(model: Model, path: Path) -> None:
    file = contents(path)
    other = model.clone()
    next(iter(quantizers(other.module).values())).scale.mul_(1.5)
    with pytest.raises(ExportError, match="lost the scale of"):
        check_scales(other.module, file, RULES)
    for tensor in file.subgraphs[0].tensors:
        tensor.quantization.scale = np.asarray(tensor.quantization.scale) * 1.5
    with pytest.raises(ExportError, match="lost the scale of"):
        check_scales(model.module, file, RULES)


def test_a_file_written_again_is_the_same(path: Path) -> None:
    assert pack(contents(path)) == path.read_bytes()


@pytest.mark.parametrize("at", [0, 4, 100, 500, 1000, 2000])
def test_a_changed_byte_crashes_nothing(path: Path, tmp_path: Path, at: int) -> None:
    for value in (0, 1, 127, 255):
        data = bytearray(path.read_bytes())
        data[at] = value
        damaged = tmp_path / "damaged.tflite"
        damaged.write_bytes(data)
        try:
            read(damaged.read_bytes(), "damaged")
        except ExportError as error:
            assert "damaged" in str(error)  # noqa: PT017


@pytest.mark.slow
@pytest.mark.parametrize("tiny", TINY_TASKS)
def test_int8_agrees_with_the_simulation(tiny: str, tmp_path: Path) -> None:
    model = quantized(tiny, TARGET.name)
    Litert().write(model, tmp_path / "model.tflite", TARGET)
    assert agrees(model, tmp_path / "model.tflite", tiny, steps=3)


@pytest.mark.slow
def test_the_layer_where_network_and_file_part_is_named(tmp_path: Path) -> None:
    model = quantized("image_classifier", TARGET.name)
    artifact = export(model, TARGET, tmp_path)
    other = model.clone()
    with torch.no_grad():
        dict(other.module.named_parameters())["depthwise.weight"].neg_()
    inputs = examples("image_classifier", 4)
    assert parity(model, artifact, inputs).is_close
    assert parity(other, artifact, inputs).culprit == "depthwise (conv2d)"


@pytest.mark.parametrize("step", ["convert", "read", "strip", "pack"])
def test_whatever_fails_on_the_way_is_an_export_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError

    for name in ("convert", "read", "halve_floats", "strip", "pack"):
        monkeypatch.setattr(litert, name, lambda *_, **__: None)
    monkeypatch.setattr(litert, step, fail)
    linear = Model(torch.nn.Linear(3, 2), (torch.randn(2, 3),))
    with pytest.raises(ExportError, match="Linear has no LiteRT form: AssertionError"):
        export(linear, TARGET, tmp_path)
    assert not list(tmp_path.iterdir())


def test_rules_without_operators_allow_floats(model: Model, path: Path) -> None:
    check_scales(model.module, contents(path), QuantizationRules())


@pytest.mark.slow
def test_weights_that_share_values_are_plain_floats(tmp_path: Path) -> None:
    clustered = run(TINY_TASKS["two_output_regressor"]()[0], [ClusterWeights()])
    artifact = export(clustered, TARGET, tmp_path)
    assert len(palettes(clustered.module)) == 4
    file = contents(artifact.path)
    assert set(kinds(file, file.subgraphs[0])) == {"FULLY_CONNECTED"}
    with torch.no_grad():
        wanted = clustered.module(*clustered.example_inputs)
    outputs = load(artifact.path, artifact.format)((clustered.example_inputs[0].numpy(),))
    for ours, right in zip(outputs, wanted, strict=True):
        np.testing.assert_allclose(ours, right.numpy(), rtol=1e-4, atol=1e-5)
