"""Weights of few bits take few bits in the file, and run as bytes."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from lilliput.core import run
from lilliput.export import export, load
from lilliput.export.onnx import strip
from lilliput.quantize import Precision, QuantizeStatic
from lilliput.targets import get_target
from lilliput.testing.nets import image_classifier

TARGET = get_target("onnxruntime-cpu")


def executed(path: Path, folder: Path) -> Counter[str]:
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    options.log_severity_level = 3
    ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(folder / "optimized.onnx").graph.node)


@pytest.mark.parametrize(
    ("bits", "type_"),
    [(4, onnx.TensorProto.INT4), (3, onnx.TensorProto.INT4), (2, onnx.TensorProto.INT2)],
)
def test_fewer_bits_are_stored_and_bytes_are_run(
    bits: int, type_: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, task = image_classifier()
    small = run(model, [QuantizeStatic(TARGET.rules, task, precision=Precision({"*": bits}))])
    packed = export(small, TARGET, tmp_path / "packed").path
    monkeypatch.setattr(strip, "pack", lambda *_: None)
    bytes_ = export(small, TARGET, tmp_path / "bytes").path
    saved = bytes_.stat().st_size - packed.stat().st_size
    initializers = onnx.load(packed).graph.initializer
    narrow = [t for t in initializers if t.data_type == type_]
    count = sum(int(np.prod(t.dims)) for t in narrow)
    stored_bits = 2 if type_ == onnx.TensorProto.INT2 else 4
    assert count > 0.5 * sum(p.numel() for p in model.module.parameters())
    assert saved > 0.8 * count * (8 - stored_bits) / 8 - 60 * len(narrow)
    inputs, _ = next(task.batches("test"))
    arrays = tuple(x.numpy() for x in inputs)
    np.testing.assert_array_equal(load(packed, "onnx")(arrays)[0], load(bytes_, "onnx")(arrays)[0])
    ran = executed(packed, tmp_path)
    assert ran == executed(bytes_, tmp_path)
    assert ran["QLinearConv"]
    assert "Cast" not in ran


def test_eight_bits_stay_as_they_are(tmp_path: Path) -> None:
    model, task = image_classifier()
    small = run(model, [QuantizeStatic(TARGET.rules, task)])
    file = onnx.load(export(small, TARGET, tmp_path).path)
    assert file.opset_import[0].version == 20
    assert all(t.data_type != onnx.TensorProto.INT4 for t in file.graph.initializer)
