import errno
import os
import sys
from pathlib import Path

import pytest
import torch
from tests.export.nets import quantized
from torch import Tensor, nn

from lilliput.core import (
    ExportError,
    MissingExtraError,
    Model,
    QuantizationRules,
    Step,
    Target,
    TraceError,
    UnsupportedError,
)
from lilliput.core.artifact import sha256_of
from lilliput.export import FORMATS, Predictor, export, load
from lilliput.export.format import Array, write_bytes

RAW = Target("desk", "raw")
LITERT = Target("phone", "litert", rules=QuantizationRules())


class Raw:
    """Writes a file of 16,000 bytes at once."""

    suffix = ".raw"

    def write(self, model: Model, path: Path, target: Target | None, /) -> None:
        write_bytes(path, bytes(16_000))

    def load(self, path: Path, threads: int, /) -> Predictor:
        raise NotImplementedError

    def intermediates(self, path: Path, inputs: tuple[Array, ...], /) -> list[Array]:
        raise NotImplementedError


@pytest.fixture(autouse=True)
def raw_format(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FORMATS, "raw", Raw())


@pytest.fixture(scope="module")
def model() -> Model:
    torch.manual_seed(0)
    return Model(nn.Linear(64, 64), (torch.randn(1, 64),), (Step("Prune", {}, 0.1, "prune"),))


def test_the_artifact_knows_its_file_and_its_history(model: Model, tmp_path: Path) -> None:
    artifact = export(model, RAW, tmp_path / "new" / "folder")
    assert artifact.path == tmp_path / "new" / "folder" / "model.raw"
    assert artifact.sha256 == sha256_of(artifact.path)
    assert artifact.history == model.history
    assert [file.name for file in artifact.path.parent.iterdir()] == ["model.raw"]


def test_an_unknown_format_is_refused_with_a_near_one(model: Model, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="'onx'; did you mean 'onnx'"):
        export(model, Target("desk", "onx"), tmp_path)
    with pytest.raises(UnsupportedError, match=r"known: onnx, litert, .*raw"):
        load(__file__, "zip")


def test_a_file_that_does_not_fit_is_refused_with_both_sizes(model: Model, tmp_path: Path) -> None:
    with pytest.raises(
        UnsupportedError, match=r"model.raw is 16,000 bytes but 'chip' has 4,096 bytes"
    ):
        export(model, Target("chip", "raw", flash_bytes=4096), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_the_old_file_and_says_how_much(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.raw").write_text("old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ExportError, match=r"No space left.*16,000 bytes were to be written"):
        export(model, RAW, tmp_path)
    assert [file.read_text() for file in tmp_path.iterdir()] == ["old"]


def test_a_folder_that_is_a_file_is_named(model: Model, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(ExportError, match=r"cannot write .*out"):
        export(model, RAW, tmp_path / "out")


def test_quantizers_against_the_rules_are_refused_by_name(tmp_path: Path) -> None:
    unsigned = quantized("two_output_regressor", "onnxruntime-cpu")
    with pytest.raises(UnsupportedError, match=r"quantizer .*'phone' wants"):
        export(unsigned, LITERT, tmp_path)


def test_a_target_of_floats_refuses_quantizers(tmp_path: Path) -> None:
    unsigned = quantized("two_output_regressor", "onnxruntime-cpu")
    with pytest.raises(UnsupportedError, match=r"'plain' runs floats only.*quantizer"):
        export(unsigned, Target("plain", "onnx"), tmp_path)


def test_a_missing_converter_names_what_to_install(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "litert_torch", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'lilliput\[litert\]'"):
        export(model, LITERT, tmp_path)


def test_a_missing_interpreter_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'lilliput\[litert\]'"):
        load(__file__, "litert")


@pytest.mark.parametrize(
    ("package", "format_", "suffix"),
    [("coremltools", "coreml", ".mlpackage.zip"), ("openvino", "openvino", ".onnx")],
)
def test_other_missing_packages_name_what_to_install(
    package: str, format_: str, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    path = tmp_path / f"model{suffix}"
    path.write_text("")
    with pytest.raises(MissingExtraError, match=rf"pip install 'lilliput\[{format_}\]'"):
        load(path, format_)


class Jumps(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:
            return x + 1
        return x


def test_a_network_that_does_not_trace_is_refused_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"test_export.py:\d+ \(if x.sum\(\) > 0:\)"):
        export(Model(Jumps(), (torch.randn(2, 3),)), Target("desk", "onnx"), tmp_path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"nothing.onnx is not there"):
        load(tmp_path / "nothing.onnx", "onnx")
