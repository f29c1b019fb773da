import zipfile
from typing import ClassVar

import numpy as np
import pytest
from tests.export.c.oracle import reference
from tests.export.nets import examples, quantized

import lilliput as lp
from lilliput.core import ExportError, MissingExtraError, UnsupportedError
from lilliput.export import Format, export, load, parity
from lilliput.export.c import predictor
from lilliput.export.c.format import CSource
from lilliput.export.c.package import MODEL
from lilliput.testing import FormatContract

pytest.importorskip("litert_torch")
TARGET = lp.get_target("host-c")
TINY = "image_classifier"


class TestCSource(FormatContract):
    """A network that is not quantized stays a float file, which LiteRT runs."""

    tasks: ClassVar[tuple[str, ...]] = (TINY,)

    @pytest.fixture
    def format_(self) -> Format:
        return CSource()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A quantized network and its file."""
    model = quantized(TINY, "host-c")
    return model, export(model, TARGET, tmp_path_factory.mktemp("c"))


def test_the_c_gives_litert_s_integers(made, tmp_path):
    _, artifact = made
    with zipfile.ZipFile(artifact.path) as file:
        assert {"model.h", "model.c", "test_model.c", MODEL} <= set(file.namelist())
        file.extract(MODEL, tmp_path)
    ours, theirs = load(artifact.path, "c"), reference(tmp_path / MODEL)
    (x,) = (part.numpy() for part in examples(TINY, 20))
    (found,) = ours((x,))
    given, end = ours.facts.inputs[0], ours.facts.outputs[0]
    for image, answer in zip(x, found, strict=True):
        codes = np.clip(np.round(image / np.float32(given.scale)) + given.zero_point, -128, 127)
        (wanted,) = theirs([codes[None].astype(np.int8)])
        reals = (wanted.astype(np.float32) - end.zero_point) * np.float32(end.scale)
        np.testing.assert_array_equal(answer, reals[0])


def test_the_c_agrees_with_the_simulation(made):
    model, artifact = made
    assert parity(model, artifact, examples(TINY, 16)).measurement.value < 0.02


def test_the_same_network_gives_the_same_bytes(made, tmp_path):
    model, artifact = made
    assert export(model, TARGET, tmp_path).sha256 == artifact.sha256


def test_a_zip_of_something_else_is_refused(tmp_path):
    path = tmp_path / "other.c.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("../model.c", "int x;")
    with pytest.raises(ExportError, match=r"other.c.zip is no generated C: it holds '../model.c'"):
        load(path, "c")


def test_a_missing_compiler_is_named_with_the_way_out(made, monkeypatch):
    monkeypatch.setattr(predictor.shutil, "which", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"C compiler.*apt-get install gcc"):
        load(made[1].path, "c")


def test_activations_are_not_shown(made):
    with pytest.raises(UnsupportedError, match="shows no activations"):
        CSource().intermediates(made[1].path, ())


def test_only_microcontrollers_have_flash():
    assert lp.get_target("cortex-m4").has_flash
    assert not TARGET.has_flash
