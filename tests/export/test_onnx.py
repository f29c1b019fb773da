from collections import Counter
from pathlib import Path
from typing import ClassVar

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from tests.export.nets import examples, quantized
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from lilliput.core import ExportError, Model
from lilliput.export import Format, load
from lilliput.export.onnx import Onnx, encode
from lilliput.quantize import quantizers
from lilliput.testing import TINY_TASKS, FormatContract


class TestOnnx(FormatContract):
    tasks: ClassVar[tuple[str, ...]] = ("two_input_transformer",)

    @pytest.fixture
    def format_(self) -> Format:
        return Onnx()


@pytest.mark.slow
class TestOnnxOnTheOthers(TestOnnx):
    tasks: ClassVar[tuple[str, ...]] = (
        "image_classifier",
        "image_to_image",
        "two_output_regressor",
    )


@pytest.fixture(scope="module")
def int8(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("int8") / "model.onnx"
    Onnx().write(quantized("image_classifier", "onnxruntime-cpu"), path, None)
    return path


def executed(path: Path, folder: Path) -> Counter[str]:
    """What ONNX Runtime makes of a file."""
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    options.log_severity_level = 3
    ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    graph = onnx.load(folder / "optimized.onnx").graph
    return Counter(node.op_type for node in graph.node)


def test_all_layers_run_in_integers(int8: Path, tmp_path: Path) -> None:
    counts = executed(int8, tmp_path)
    assert counts["QLinearConv"] == 3
    assert counts["QLinearAdd"] == 1
    assert counts["QGemm"] == 1
    assert not counts["Conv"] + counts["Add"] + counts["Gemm"] + counts["BatchNormalization"]


def test_weights_are_stored_as_bytes_with_the_scales_of_the_network(int8: Path) -> None:
    model = quantized("image_classifier", "onnxruntime-cpu")
    arrays = [onnx.numpy_helper.to_array(t) for t in onnx.load(int8).graph.initializer]
    for name, quantizer in quantizers(model.module).items():
        scale = quantizer.scale.numpy()
        same = [a for a in arrays if a.dtype == np.float32 and a.size == scale.size]
        assert any(np.array_equal(a.ravel(), scale) for a in same), name
    weights = {
        tuple(value.shape)
        for name, value in model.module.named_parameters()
        if name.endswith("weight")
    }
    assert weights == {a.shape for a in arrays if a.dtype == np.int8 and a.ndim > 1}


def test_nothing_is_stored_that_the_runtime_does_not_need(int8: Path) -> None:
    model = onnx.load(int8)
    graph = model.graph
    assert not graph.value_info
    assert not model.producer_name + model.doc_string + graph.doc_string
    assert not model.metadata_props
    for node in graph.node:
        assert not node.name + node.doc_string
        assert not node.metadata_props
    names = [name for node in graph.node for name in node.output if name != "output"]
    assert max(map(len, names)) <= 2
    contents = [(t.data_type, tuple(t.dims), t.raw_data) for t in graph.initializer]
    assert len(contents) == len(set(contents))
    used = {name for node in graph.node for name in node.input}
    assert {t.name for t in graph.initializer} <= used


def test_ends_keep_their_names_and_the_batch_is_free() -> None:
    model = onnx.ModelProto.FromString(encode(TINY_TASKS["two_output_regressor"]()[0]))
    assert [value.name for value in model.graph.input] == ["sensors"]
    assert [value.name for value in model.graph.output] == ["output", "output_1"]
    for value in [*model.graph.input, *model.graph.output]:
        assert value.type.tensor_type.shape.dim[0].dim_param == "batch"


def test_int8_agrees_with_the_simulation(int8: Path) -> None:
    assert_agrees("image_classifier", int8)


@pytest.mark.slow
@pytest.mark.parametrize("tiny", [name for name in TINY_TASKS if name != "image_classifier"])
def test_int8_agrees_with_the_simulation_on_the_others(tiny: str, tmp_path: Path) -> None:
    Onnx().write(quantized(tiny, "onnxruntime-cpu"), tmp_path / "model.onnx", None)
    assert_agrees(tiny, tmp_path / "model.onnx")


def assert_agrees(tiny: str, path: Path) -> None:
    model, inputs = quantized(tiny, "onnxruntime-cpu"), examples(tiny, 8)
    outputs = Onnx().load(path, 1)(tuple(x.numpy() for x in inputs))
    with torch.no_grad():
        expected = [leaf.numpy() for leaf in tree_leaves(model.module(*inputs))]
    for output, reference in zip(outputs, expected, strict=True):
        # rounding falls the other way here and there: two steps of 255 in the output's range
        assert np.abs(output - reference).max() <= 2 * np.ptp(reference) / 255


class Fixed(nn.Module):
    """A network whose code knows its batch."""

    def forward(self, x: Tensor) -> Tensor:
        return x.view(4, 2, 3).sum(1) * torch.arange(4).view(4, 1)


def test_a_file_for_one_batch_refuses_none(tmp_path: Path) -> None:
    model = Model(Fixed(), (torch.randn(4, 6),))
    Onnx().write(model, tmp_path / "model.onnx", None)
    predictor = load(tmp_path / "model.onnx", "onnx")
    assert predictor.inputs[0].shape == (4, 6)
    x = torch.randn(10, 6)
    (output,) = predictor((x.numpy(),))
    assert output.shape == (10, 3)
    with torch.no_grad():
        expected = torch.cat([model.module(part) for part in (x[:4], x[4:8])])
    np.testing.assert_allclose(output[:8], expected.numpy(), rtol=1e-6)


class Identity(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = x.relu()
        return y, y


def test_an_output_given_twice_is_two_outputs(tmp_path: Path) -> None:
    Onnx().write(Model(Identity(), (torch.randn(2, 3),)), tmp_path / "model.onnx", None)
    x = np.float32([[-1, 0, 2]])
    first, second = Onnx().load(tmp_path / "model.onnx", 1)((x,))
    assert first.tolist() == second.tolist() == [[0, 0, 2]]


@pytest.mark.slow
def test_an_operator_without_an_onnx_form_is_named(tmp_path: Path) -> None:
    class Odd(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.linalg.eigvalsh(x)

    model = Model(Odd(), (torch.eye(3).expand(2, 3, 3).clone(),))
    with pytest.raises(ExportError, match=r"Odd has no ONNX form"):
        Onnx().write(model, tmp_path / "model.onnx", None)
