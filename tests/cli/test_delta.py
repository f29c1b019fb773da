"""delta writes an update; unpack --base makes the new file of it; inspect tells what it needs."""

import hashlib

import pytest
import torch

from lilliput.pack import Quantized, pack_model


@pytest.fixture
def nets(tmp_path):
    integers = torch.arange(-800, 800).reshape(40, 40) % 17
    pack_model({"w": Quantized(integers, 0.5), "b": torch.ones(40)}, tmp_path / "old.lil")
    integers[3, ::7] += 1
    pack_model({"w": Quantized(integers, 0.5), "b": torch.ones(40)}, tmp_path / "new.lil")
    return tmp_path / "old.lil", tmp_path / "new.lil"


def test_there_and_back(lilliput, nets, tmp_path):
    old, new = nets
    done = lilliput("delta", old, new, "--out", tmp_path / "update.lil", "--json")
    assert done.json["new_bytes"] == new.stat().st_size > done.json["size_bytes"]
    assert "instead of" in lilliput("delta", old, new).out
    assert (tmp_path / "new.update.lil").exists()
    made = tmp_path / "made.lil"
    assert lilliput("unpack", tmp_path / "update.lil", "--base", old, "-o", made).code == 0
    assert made.read_bytes() == new.read_bytes()


def test_inspect_tells_what_it_needs(lilliput, nets, tmp_path):
    old, new = nets
    lilliput("delta", old, new, "--out", tmp_path / "update.lil")
    found = lilliput("inspect", tmp_path / "update.lil", "--json").json
    assert found["needs_sha256"] == hashlib.sha256(old.read_bytes()).hexdigest()
    assert found["makes_sha256"] == hashlib.sha256(new.read_bytes()).hexdigest()
    assert found["tensors"] == [
        {"name": "w", "coded": "differences"},
        {"name": "b", "coded": "same"},
    ]
    assert found["needs_sha256"] in lilliput("inspect", tmp_path / "update.lil").out


def test_errors_are_one_line(lilliput, nets, tmp_path):
    old, new = nets
    lilliput("delta", old, new, "--out", tmp_path / "update.lil")
    assert "--base OLD" in lilliput("unpack", tmp_path / "update.lil").err
    done = lilliput("unpack", tmp_path / "update.lil", "--base", new)
    assert done.code == 1
    assert "needs the file whose SHA-256 is" in done.err
    assert "is no update" in lilliput("unpack", new, "--base", old).err
