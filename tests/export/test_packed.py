"""A packed ONNX file is small, says what its network says, and is measured as what it becomes."""

import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.export.claims import difference, made, task_of
from tests.export.nets import examples, quantized
from torch import nn

import lilliput as lp
from lilliput.core import ExportError, MissingExtraError, Model, UnsupportedError
from lilliput.export import Format, export, load, parity
from lilliput.export.packed import PackedOnnx, unpacked_bytes
from lilliput.measure import measure
from lilliput.pack import CODINGS, Packed, pack, pack_model, unpack
from lilliput.quantize import QuantizeCoded
from lilliput.targets import get_target
from lilliput.testing import TINY_TASKS, FormatContract

TARGET = get_target("download")


@pytest.mark.slow  # ONNX's own has the same network
class TestPackedOnnx(FormatContract):
    @pytest.fixture
    def format_(self) -> Format:
        return PackedOnnx()


@cache
def linear(features: int = 3) -> Model:
    torch.manual_seed(0)
    return Model(nn.Linear(features, 2).eval(), (torch.zeros(1, features),))


def test_an_int8_file_is_the_onnx_file_packed(tmp_path: Path) -> None:
    model = quantized("image_classifier", "onnxruntime-cpu")
    inputs = examples("image_classifier", 4)
    arrays = tuple(x.numpy() for x in inputs)
    packed = export(model, TARGET, tmp_path)
    plain = export(model, get_target("onnxruntime-cpu"), tmp_path)
    assert packed.path.name == "model.lil"
    unpacked = unpack(Packed.open(packed.path), tmp_path / "back.onnx")
    assert unpacked.read_bytes() == plain.path.read_bytes()
    assert unpacked_bytes(packed.path) == plain.size_bytes > packed.size_bytes
    (ours,), (theirs,) = (load(a.path, a.format)(arrays) for a in (packed, plain))
    np.testing.assert_array_equal(ours, theirs)
    looked_into = parity(model, packed, inputs, tolerance=0.0)
    assert looked_into.layers == parity(model, plain, inputs, tolerance=0.0).layers != ()


def test_coded_weights_are_small_in_it_and_the_file_is_measured(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(48, 64), nn.ReLU(), nn.Linear(64, 4)).eval()
    inputs = torch.randn(16, 48)
    model, task = Model(net, (inputs[:2],)), task_of([(inputs, net(inputs).argmax(1))])
    passes = [QuantizeCoded(task, max_distance=0.02, samples=8, rounding="nearest")]
    small, artifact = made(model, passes, TARGET, tmp_path)
    assert difference(small, artifact, (inputs,)) < 1e-5
    rows = {row.quantity: row.value for row in measure(artifact, TARGET, task)}
    assert rows["size"] == artifact.path.stat().st_size
    assert rows["flash"] == unpacked_bytes(artifact.path) > 4 * rows["size"]
    assert {"metric", "latency", "peak_ram"} <= rows.keys()


def test_small_weights_of_one_step_are_coded_as_integers(tmp_path: Path) -> None:
    model = linear(64)
    generator = torch.Generator().manual_seed(0)
    integers = torch.randint(-20, 21, (2, 64), generator=generator)
    model.module.get_parameter("weight").data = integers * 0.0123
    entries = Packed.open(export(model, TARGET, tmp_path).path).contents.entries
    assert [CODINGS[e.coding] for e in entries if e.items == 128] == ["multiples"]


@pytest.fixture(scope="module")
def small_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(linear(), TARGET, tmp_path_factory.mktemp("linear")).path


def test_flash_is_the_room_for_the_file_that_runs(small_file: Path, tmp_path: Path) -> None:
    size = unpacked_bytes(small_file)
    with pytest.raises(UnsupportedError, match=f"{size:,} bytes but .* {size - 1:,} bytes of fla"):
        export(linear(), replace(TARGET, flash_bytes=size - 1), tmp_path)


def test_what_is_packed_but_is_no_onnx_file_is_refused_with_the_way_out(tmp_path: Path) -> None:
    tensors = pack_model(linear(), tmp_path / "tensors.lil").path
    with pytest.raises(ExportError, match=r"tensors\.lil is no .*lilliput\.load_packed"):
        load(tensors, "packed")
    (tmp_path / "other.txt").write_text("text")
    with pytest.raises(ExportError, match=r"holds 'other\.txt'; give that back with lilliput unp"):
        load(pack(tmp_path / "other.txt").path, "packed")
    (tmp_path / "net.onnx").write_text("text")
    with pytest.raises(ExportError, match=r"net\.onnx\.lil is no packed ONNX file that runs"):
        load(pack(tmp_path / "net.onnx").path, "packed")


def test_every_damaged_byte_is_refused(small_file: Path, tmp_path: Path) -> None:
    path, whole = tmp_path / "model.lil", small_file.read_bytes()
    for place in range(0, len(whole), 37):
        damaged = bytearray(whole)
        damaged[place] ^= 16
        path.write_bytes(damaged)
        with pytest.raises(ExportError, match=r"model\.lil is no packed ONNX file"):
            load(path, "packed")


def test_packages_that_are_gone_are_named(
    small_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match="pip install onnxruntime"):
        load(small_file, "packed")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtraError, match="pip install onnx onnxscript"):
        export(linear(), TARGET, tmp_path)


@pytest.mark.slow
def test_compress_makes_a_family_of_downloads(tmp_path: Path) -> None:
    model, task = TINY_TASKS["image_classifier"]()
    budget = lp.Budget(max_flash_bytes=1_000_000, max_drop=0.9)
    family = lp.compress(model, task, budget, "download", out=tmp_path, time_budget_s=1e-3)
    assert len(family.variants) > 1
    assert {v.artifact.suffix for v in family.variants} == {".lil"}
    assert all(v.value("size") < v.value("flash") < 1_000_000 for v in family.variants)
