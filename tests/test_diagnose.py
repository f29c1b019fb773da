"""Why a network loses, found and mended, in its own runtime."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.search.broken import BAD, per_tensor, with_outlier
from torch import nn

import lilliput as lp
from lilliput.core import RegistryError, UnsupportedError
from lilliput.registry import Store
from lilliput.testing.nets import image_classifier


@pytest.mark.slow
def test_a_net_with_a_broken_range_comes_back(tmp_path: Path) -> None:
    model, task = with_outlier()
    lines: list[str] = []
    found = lp.diagnose(
        model, task, per_tensor(), lp.Budget(max_drop=0.02), out=tmp_path, tell=lines.append
    )
    assert found.culprits[0].name == BAD
    assert found.tried[0].drop.value > 0.1
    assert found.is_within
    assert found.tried[-1].is_kept
    assert found.tried[-1].bought.low > 0
    assert {t.method for t in (found.tried[-1].drop, found.tried[-1].bought)} == {"measured"}
    assert found.culprits[0].weight_range.ratio > 1000
    assert found.culprits[0].parity < 0.05
    family = Store(tmp_path).family()
    assert {t.variant for t in found.tried} < {variant.name for variant in family}
    assert (
        json.loads(json.dumps(found.as_dict()))
        == family.notes["diagnoses"]["onnxruntime-cpu 8 bits"]
    )
    assert "Culprits and remedies" in lp.report(family, tmp_path / "report.html").read_text()
    again = lp.diagnose(model, task, per_tensor(), lp.Budget(max_drop=0.02), out=tmp_path)
    assert again.tried == found.tried
    other = model.clone()
    other.module.head.bias.data += 1
    with pytest.raises(RegistryError, match="another network"):
        lp.diagnose(other, task, per_tensor(), lp.Budget(max_drop=0.02), out=tmp_path)


BUDGET = lp.Budget(max_drop=0.01)


def test_a_budget_without_a_limit_on_the_drop_is_refused(tmp_path: Path) -> None:
    model, task = image_classifier()
    with pytest.raises(ValueError, match=r"pass Budget\(max_drop=0.01\)"):
        lp.diagnose(model, task, "onnxruntime-cpu", lp.Budget(max_size_bytes=10), out=tmp_path)


def test_bits_that_no_file_of_the_target_holds_are_refused(tmp_path: Path) -> None:
    model, task = image_classifier()
    with pytest.raises(UnsupportedError, match=r"hold weights of \[8\] bits, got bits=4"):
        lp.diagnose(model, task, "litert-cpu", BUDGET, out=tmp_path, bits=4)


def test_a_target_of_floats_is_refused(tmp_path: Path) -> None:
    model, task = image_classifier()
    floats = replace(lp.get_target("onnxruntime-cpu"), rules=None)
    with pytest.raises(UnsupportedError, match="runs floats only"):
        lp.diagnose(model, task, floats, BUDGET, out=tmp_path)


@pytest.mark.parametrize(("setting", "value"), [("samples", 0), ("epochs", -1)])
def test_numbers_out_of_range_are_refused(setting: str, value: int, tmp_path: Path) -> None:
    model, task = image_classifier()
    with pytest.raises(ValueError, match=f"{setting} must be .* or more, got {value}"):
        lp.diagnose(model, task, "onnxruntime-cpu", BUDGET, out=tmp_path, **{setting: value})


def test_a_network_without_layers_to_quantize_is_refused_before_any_file(tmp_path: Path) -> None:
    class Scale(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.factor = nn.Parameter(torch.ones(192, 4))

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return image.flatten(1) @ self.factor

    _, task = image_classifier()
    inputs, _ = next(task.batches("validation"))
    model = lp.Model(Scale().eval(), (inputs[0][:1],))
    with pytest.raises(UnsupportedError, match="there is nothing to quantize"):
        lp.diagnose(model, task, "onnxruntime-cpu", BUDGET, out=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_layer_name_that_matches_nothing_is_refused_before_any_file(tmp_path: Path) -> None:
    model, task = image_classifier()
    with pytest.raises(UnsupportedError, match="'depthwize'; did you mean 'depthwise'"):
        lp.diagnose(model, task, "onnxruntime-cpu", BUDGET, out=tmp_path, only=("depthwize",))
    assert not list(tmp_path.iterdir())
