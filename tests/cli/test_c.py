"""`c` writes what a compiler needs, and says what the network needs."""

import pytest
from tests.export.c.test_generate import residual

pytest.importorskip("ai_edge_litert")


def test_three_files_and_what_they_need(lilliput, tmp_path):
    done = lilliput("c", residual(tmp_path), "--out", tmp_path / "c", "--json")
    names = sorted(path.name for path in (tmp_path / "c").iterdir())
    assert names == ["model.c", "model.h", "test_model.c"]
    assert 512 <= done.json["bound_bytes"] <= done.json["arena_bytes"] < 3 * 256 + 72
    assert done.json["peak"] == "operator 1 (CONV_2D)"


def test_a_file_that_is_none(lilliput, tmp_path):
    (tmp_path / "net.tflite").write_bytes(b"no")
    done = lilliput("c", tmp_path / "net.tflite")
    assert done.code == 1
    assert "net.tflite is no LiteRT file" in done.err
