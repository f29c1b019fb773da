from dataclasses import replace
from pathlib import Path

import pytest

from lilliput.quantize import QuantizeStatic
from lilliput.registry import Store
from lilliput.search import Candidate, Workshop
from lilliput.search.workshop import fingerprint_of
from lilliput.targets import get_target
from lilliput.testing.nets import image_classifier

ORT = get_target("onnxruntime-cpu")


@pytest.mark.parametrize("strict", [False, True])
def test_strict_leaves_out_what_the_target_runs_otherwise(tmp_path: Path, strict: bool) -> None:
    model, task = image_classifier()
    wide = replace(ORT.rules, activation=replace(ORT.rules.activation, bits=16))
    store = Store(tmp_path)
    workshop = Workshop(
        model, task, store, tmp_path, fingerprint_of(model, model, task), strict=strict
    )
    workshop.original(ORT)
    found = workshop.make(
        Candidate("wide", finish=lambda _: (QuantizeStatic(wide, task, samples=16),)), ORT
    )
    if strict:
        assert found is None
        (skipped,) = store.family().skipped
        assert (skipped.name, skipped.target) == ("wide", ORT.name)
        assert "runs in floats" in skipped.reason
        assert "strict" in skipped.reason
    else:
        assert any("runs in floats" in note for note in found.details["notes"])


def test_what_a_killed_run_left_is_cleared_away(tmp_path: Path) -> None:
    left = tmp_path / "scratch-1a2b"
    left.mkdir()
    (left / "model.onnx").write_bytes(b"half")
    (tmp_path / "mine").mkdir()
    model, task = image_classifier()
    Workshop(model, task, Store(tmp_path), tmp_path, fingerprint_of(model, model, task))
    assert not left.exists()
    assert (tmp_path / "mine").exists()
