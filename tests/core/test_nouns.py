"""The small nouns: models, artifacts, integer types, the data folder, errors."""

import copy
import dataclasses
from pathlib import Path

import pytest
import torch
from hypothesis import given, strategies as st
from torch import nn

import lilliput.core
from lilliput.core import Artifact, IntegerType, LilliputError, Model, Step, TaskError, errors
from lilliput.core.data import data_dir, set_data_dir
from lilliput.core.model import check_model


def test_a_clone_shares_nothing_but_its_inputs() -> None:
    model = Model(nn.Linear(2, 2), (torch.ones(1, 2),), (Step("A", {}, 1.0),))
    clone = model.clone()
    nn.init.zeros_(clone.module.weight)
    assert model.module.weight.abs().sum() > 0
    assert clone.history == model.history
    assert clone.example_inputs is model.example_inputs


def test_a_model_needs_example_inputs() -> None:
    with pytest.raises(ValueError, match="one tensor for each argument, got none"):
        Model(nn.Linear(2, 2), ())


def test_a_bare_network_is_no_model() -> None:
    with pytest.raises(TypeError, match=r"teacher must be .* got Linear; pass .*example_inputs="):
        check_model(nn.Linear(2, 2), "teacher")
    check_model(Model(nn.Linear(2, 2), (torch.ones(1, 2),)))


@pytest.mark.parametrize("size", [0, 1, 100_000])
def test_an_artifact_is_named_by_its_content(tmp_path: Path, size: int) -> None:
    one, two = tmp_path / "one.onnx", tmp_path / "two.onnx"
    one.write_bytes(bytes(size))
    two.write_bytes(bytes(size))
    first, second = Artifact.of(one, "onnx"), Artifact.of(two, "onnx")
    assert first.sha256 == second.sha256
    assert first.size_bytes == size
    two.write_bytes(bytes(size) + b"\1")
    assert Artifact.of(two, "onnx").sha256 != first.sha256


def test_the_digest_is_sha_256(tmp_path: Path) -> None:
    path = tmp_path / "abc"
    path.write_bytes(b"abc")  # FIPS 180-2, appendix B.1
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert Artifact.of(path, "x").sha256 == digest


@given(st.integers(2, 16))
def test_integer_ranges_are_those_of_torch_and_symmetric_ones_drop_the_lowest(bits: int) -> None:
    signed = IntegerType(bits)
    assert signed.high - signed.low + 1 == 2**bits
    assert -signed.low == signed.high + 1
    symmetric = IntegerType(bits, is_symmetric=True)
    assert -symmetric.low == symmetric.high == signed.high
    unsigned = IntegerType(bits, is_signed=False)
    assert (unsigned.low, unsigned.high) == (0, 2**bits - 1)
    if bits in (8, 16):
        info = torch.iinfo({8: torch.int8, 16: torch.int16}[bits])
        assert (signed.low, signed.high) == (info.min, info.max)


@pytest.mark.parametrize("bits", [1, 17])
def test_refuses_widths_that_no_integer_has(bits: int) -> None:
    with pytest.raises(ValueError, match=f"bits must be 2 to 16, got {bits}"):
        IntegerType(bits)


def test_every_noun_is_frozen() -> None:
    nouns = [getattr(lilliput.core, name) for name in lilliput.core.__all__]
    for noun in nouns:
        if dataclasses.is_dataclass(noun):
            assert noun.__dataclass_params__.frozen, noun


def test_every_error_is_a_lilliput_error_and_says_when() -> None:
    for name in errors.__all__:
        error = getattr(errors, name)
        assert issubclass(error, LilliputError)
        assert error.__doc__
        assert copy.copy(error("said")).args == ("said",)


@pytest.fixture
def _forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LILLIPUT_DATA", raising=False)
    set_data_dir(None)


@pytest.mark.usefixtures("_forgotten")
class TestDataDir:
    def test_asks_for_data_when_none_was_given(self) -> None:
        with pytest.raises(TaskError, match="pass --data DIR"):
            data_dir()

    def test_the_option_wins_over_the_environment(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("LILLIPUT_DATA", "/nowhere")
        set_data_dir(tmp_path)
        assert data_dir() == tmp_path
        set_data_dir(None)
        with pytest.raises(TaskError, match="/nowhere does not exist"):
            data_dir()

    def test_a_folder_that_is_not_there_is_refused_at_once(self, tmp_path: Path) -> None:
        with pytest.raises(TaskError, match="gone does not exist; pass --data DIR"):
            set_data_dir(tmp_path / "gone")
        file = tmp_path / "file"
        file.touch()
        with pytest.raises(TaskError, match="file is no folder"):
            set_data_dir(file)
