"""`c` writes what a compiler needs, and says what the network needs."""

import pytest
from tests.export.c.test_generate import residual
from tests.export.c.test_packing import two_layers

pytest.importorskip("ai_edge_litert")


def test_three_files_and_what_they_need(lilliput, tmp_path):
    done = lilliput("c", residual(tmp_path), "--out", tmp_path / "c", "--json")
    names = sorted(path.name for path in (tmp_path / "c").iterdir())
    assert names == ["model.c", "model.h", "test_model.c"]
    assert 512 <= done.json["bound_bytes"] <= done.json["arena_bytes"] < 3 * 256 + 72
    assert done.json["peak"] == "operator 1 (CONV_2D)"


def test_weights_are_packed_if_asked(lilliput, tmp_path):
    path = two_layers(tmp_path)
    plain, packed = (
        lilliput("c", path, "-o", tmp_path / "c", "--json", *a) for a in ([], ["--pack"])
    )
    assert (plain.json["packed_layers"], packed.json["packed_layers"]) == (0, 2)
    assert packed.json["constant_bytes"] < plain.json["constant_bytes"] / 2


def test_a_file_that_is_none(lilliput, tmp_path):
    (tmp_path / "net.tflite").write_bytes(b"no")
    done = lilliput("c", tmp_path / "net.tflite")
    assert done.code == 1
    assert "net.tflite is no LiteRT file" in done.err
