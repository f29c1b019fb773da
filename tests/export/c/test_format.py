import zipfile
from contextlib import suppress
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
import torch
from tests.export.c.oracle import reference
from tests.export.nets import examples, quantized
from torch import nn

import lilliput as lp
from lilliput.core import ExportError, MissingExtraError, UnsupportedError
from lilliput.export import Format, export, load, parity
from lilliput.export.c import predictor
from lilliput.export.c.format import CSource
from lilliput.export.c.package import LIMITS, MODEL, Limits, write
from lilliput.testing import TINY_TASKS, FormatContract

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


@pytest.fixture(scope="module")
def narrow(tmp_path_factory):
    """The file of a network whose weights have 4 bits."""
    _, task = TINY_TASKS[TINY]()
    torch.manual_seed(0)
    parts = nn.Conv2d(3, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.Flatten(), nn.Linear(1024, 4)
    model = lp.Model(nn.Sequential(*parts), examples(TINY, 2))
    passes = [lp.QuantizeStatic(TARGET.rules, task, precision=lp.Precision({"*": 4}))]
    return export(lp.run(model, passes), TARGET, tmp_path_factory.mktemp("narrow"))


def test_weights_of_four_bits_are_packed_and_read_again(narrow, tmp_path):
    assert narrow.notes == ()
    with zipfile.ZipFile(narrow.path) as file:
        file.extractall(tmp_path)
    assert "conv_2d_packed(&" in (tmp_path / "model.c").read_text()
    ours, theirs = load(narrow.path, "c"), reference(tmp_path / MODEL)
    (x,) = (part.numpy() for part in examples(TINY, 4))
    (found,) = ours((x,))
    given, end = ours.facts.inputs[0], ours.facts.outputs[0]
    codes = np.round(x / np.float32(given.scale)) + given.zero_point
    wanted = [theirs([row[None]])[0][0] for row in np.clip(codes, -128, 127).astype(np.int8)]
    reals = (np.stack(wanted).astype(np.float32) - end.zero_point) * np.float32(end.scale)
    np.testing.assert_array_equal(found, reals)


def test_plain_c_of_packed_weights_is_read_too_and_nothing_between(narrow, tmp_path):
    with zipfile.ZipFile(narrow.path) as file:
        (tmp_path / MODEL).write_bytes(file.read(MODEL))
        packed = {name: file.read(name) for name in file.namelist()}
    sources = Limits().generate(tmp_path / MODEL).write(tmp_path / "c", vectors=0)
    plain = {MODEL: packed[MODEL], LIMITS: Limits().text.encode()}
    plain |= {path.name: path.read_bytes() for path in sources}
    assert plain["model.c"] != packed["model.c"]
    path = tmp_path / "plain.c.zip"
    path.write_bytes(write(plain))
    assert load(path, "c").facts.constant_bytes > load(narrow.path, "c").facts.constant_bytes
    path.write_bytes(write({**packed, "model.h": plain["model.h"]}))
    with pytest.raises(ExportError, match=r"is not what its model.tflite is turned"):
        load(path, "c")


def test_the_c_agrees_with_the_simulation(made):
    model, artifact = made
    assert parity(model, artifact, examples(TINY, 16)).measurement.value < 0.02


def test_a_target_with_little_ram_gets_c_for_it(made, tmp_path):
    model, artifact = made
    small = export(model, replace(TARGET, ram_bytes=600), tmp_path)
    parts = [load(part.path, "c") for part in (artifact, small)]
    whole, streamed = (part.facts.arena_bytes for part in parts)
    assert streamed < whole
    (x,) = (part.numpy() for part in examples(TINY, 20))
    np.testing.assert_array_equal(parts[1]((x,)), parts[0]((x,)))


@pytest.mark.parametrize("text", ['{"arena_bytes": "1"}', '{"arena_bytes":null}', "{}", "[", "9"])
def test_limits_of_another_form_are_refused(made, tmp_path, text):
    changed = tmp_path / "changed.c.zip"
    with zipfile.ZipFile(made[1].path) as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            new.writestr(name, text if name == LIMITS else old.read(name))
    with pytest.raises(ExportError, match=r"limits.json holds no limits"):
        load(changed, "c")


def test_the_same_network_gives_the_same_bytes(made, tmp_path):
    model, artifact = made
    assert export(model, TARGET, tmp_path).sha256 == artifact.sha256


def test_a_zip_of_something_else_is_refused(tmp_path):
    path = tmp_path / "other.c.zip"
    for names in (["../model.c"], [], ["model.h"]):
        with zipfile.ZipFile(path, "w") as file:
            for name in names:
                file.writestr(name, "int x;")
        with pytest.raises(ExportError, match=r"other.c.zip is no zip of generated C: it holds"):
            load(path, "c")


def test_c_that_somebody_changed_is_not_run(made, tmp_path):
    changed = tmp_path / "changed.c.zip"
    with zipfile.ZipFile(made[1].path) as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            more = b"int more;\n" if name == "model.c" else b""
            new.writestr(name, old.read(name) + more)
    with pytest.raises(ExportError, match=r"its model.c is not what its model.tflite is turned"):
        load(changed, "c")


def test_any_damage_ends_in_our_error(made, tmp_path):
    whole = made[1].path.read_bytes()
    rng = np.random.default_rng(0)
    damaged = tmp_path / "damaged.c.zip"
    for _ in range(100):
        content = bytearray(whole)
        place = int(rng.integers(len(content)))
        content[place] ^= 1 << int(rng.integers(8))
        damaged.write_bytes(content)
        with suppress(ExportError):  # or all is well: some bits mean nothing
            load(damaged, "c")


@pytest.mark.parametrize("shape", [(1, 3, 4, 4), (1, 1, 8, 8)])
def test_inputs_of_another_shape_are_refused(made, shape):
    with pytest.raises(ValueError, match="takes examples of shape"):
        load(made[1].path, "c")((np.zeros(shape, np.float32),))


def test_other_integers_are_refused(made):
    ours = load(made[1].path, "c")
    shape = (1, *ours.facts.inputs[0].shape[1:])
    with pytest.raises(ValueError, match="floats or int8, got uint8"):
        ours((np.zeros(shape, np.uint8),))


def test_a_missing_compiler_is_named_with_the_way_out(made, monkeypatch):
    monkeypatch.setattr(predictor.shutil, "which", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"C compiler.*apt-get install gcc"):
        load(made[1].path, "c")


def test_activations_are_not_shown(made):
    with pytest.raises(UnsupportedError, match="shows no activations"):
        CSource().intermediates(made[1].path, ())


def test_only_microcontrollers_have_flash():
    assert lp.get_target("cortex-m4").is_chip
    assert not TARGET.is_chip
