from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
import onnx_ir
import onnxruntime as ort
import pytest
import torch
from tests.export.nets import examples, quantized
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from lilliput.core import Accuracy, ExportError, Model, Task, run
from lilliput.export import Format, export, load
from lilliput.export.onnx import strip
from lilliput.export.onnx.format import Onnx, encode
from lilliput.quantize import QuantizeStatic, quantizers
from lilliput.quantize.numbers.fake import FakeQuantize
from lilliput.targets import get_target
from lilliput.testing import TINY_TASKS, FormatContract

TARGET = get_target("onnxruntime-cpu")


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


def test_linear_layers_on_tokens_run_in_integers(tmp_path: Path) -> None:
    torch.manual_seed(0)
    x = torch.randn(16, 5, 8)
    task = Task("tokens", [(x, x)], [(x, x)], nn.functional.mse_loss, Accuracy())
    net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 8, bias=False), nn.LayerNorm(8))
    model = run(Model(net.eval(), (x[:2],)), [QuantizeStatic(TARGET.rules, task)])
    path = tmp_path / "tokens.onnx"
    Onnx().write(model, path, None)
    counts = executed(path, tmp_path)
    assert counts["MatMulIntegerToFloat"] == 2
    assert not counts["MatMul"] + counts["FusedMatMul"] + counts["Transpose"]
    (outputs,) = Onnx().load(path, 1)((x.numpy(),))
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(outputs), model.module(x), atol=1e-4, rtol=0)


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


@pytest.mark.parametrize(
    ("place", "error", "said"),
    [
        ((strip, "rewrite"), AssertionError(), "AssertionError"),
        ((onnx_ir.serde, "serialize_model"), KeyError("Foo"), "KeyError: 'Foo'"),
        ((onnx.checker, "check_model"), onnx.checker.ValidationError("bad\nnode"), "bad"),
        ((torch.onnx, "export"), RuntimeError("no such operator"), "no such operator"),
    ],
)
def test_whatever_fails_on_the_way_is_an_export_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: Any, error: Exception, said: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(*place, fail)
    with pytest.raises(ExportError, match=rf"Linear has no ONNX form: .*{said}$"):
        export(Model(nn.Linear(3, 2), (torch.randn(2, 3),)), TARGET, tmp_path)
    assert not list(tmp_path.iterdir())


def test_quantizers_in_a_network_that_was_never_captured_are_refused(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(3, 2), FakeQuantize(TARGET.rules.activation))
    net[1].set_range(torch.zeros(1), torch.ones(1))
    model = Model(net, (torch.randn(2, 3),))
    with pytest.raises(ExportError, match="Sequential holds quantizers but is no captured"):
        Onnx().write(model, tmp_path / "model.onnx", None)


@pytest.mark.parametrize("is_signed", [False, True])
def test_inside_a_file_activations_are_dequantized(tmp_path: Path, is_signed: bool) -> None:
    """Against the plain numbers; a runtime may want activations of either sign."""
    kind, point, lowest = ("int8", -3, -128) if is_signed else ("uint8", 125, 0)
    text = f"""
        <ir_version: 10, opset_import: ["" : 20]> g (float[n, 4] x) => (float[n, 4] y)
        <float s = {{0.5}}, {kind} z = {{{point}}}, float[4] w = {{1, 2, 3, 4}}>
        {{
            q = QuantizeLinear(x, s, z)  d = DequantizeLinear(q, s, z)
            a = Add(d, w)                y = Relu(a)
        }}
    """
    path = tmp_path / "model.onnx"
    onnx.save(onnx.parser.parse_model(text), path)
    x = np.float32([[-1000, -1.2, 0.3, 1000], [0, 0.5, 7.3, -7]])
    codes = np.clip(np.rint(x / 0.5) + point, lowest, lowest + 255)
    real = np.float32((codes - point) * 0.5)
    added = real + np.float32([1, 2, 3, 4])
    inside = Onnx().intermediates(path, (x,))
    wanted = [np.maximum(added, 0), real, added]
    assert len(inside) == 3
    for array in wanted:
        assert any(np.array_equal(array, found) for found in inside)


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
