"""The loop with a workshop that makes files in no time: what is kept, and when it ends."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from tests.search.broken import per_tensor
from tests.search.test_ladder import QuickWorkshop

from lilliput.core import ExportError, LilliputError, Measurement, Model, Target, Task
from lilliput.measure.accuracy import Scores
from lilliput.registry import Store, Variant
from lilliput.search.candidate import Candidate
from lilliput.search.clinic import clinic as module
from lilliput.search.clinic.clinic import Clinic
from lilliput.search.clinic.culprits import Effect, Found
from lilliput.search.clinic.diagnosis import Culprit
from lilliput.search.clinic.treatment import Treatment
from lilliput.search.workshop import fingerprint_of
from lilliput.testing.nets import image_classifier

COUNT = 1000


class Ward(QuickWorkshop):
    """Variants whose drop is told by their names."""

    drops: Mapping[str, float] = {}

    def _make(self, candidate: Candidate, target: Target) -> Variant:
        if self.drops.get(candidate.name, 0.0) > 1:
            raise ExportError("no such operator")
        made = super()._make(candidate, target)
        drop = self.drops.get(candidate.name, 0.5)
        self.store.update(made.id, [Measurement("drop", drop, "1", "measured", "here")])
        found = self.store.find(made.key)
        assert found is not None
        return found


def scored(artifact, target, task, cache) -> Scores:
    """Right for as many of a thousand examples as the variant's name promises."""
    name = artifact.path.read_bytes().decode().strip()
    right = np.zeros(COUNT)
    right[: round(COUNT * (1 - Ward.drops.get(name, 0.5)))] = 1.0
    return Scores(float(right.mean()), COUNT, "same", right)


def seen(model: Model, artifact, task: Task, samples: int, only=("*",)):
    """Two culprits."""
    drop = Measurement("drop", 0.1, "1", "simulated", "PyTorch", samples, 0.0, 0.2)
    costs = {"head": 0.1, "conv1": 0.9, "depthwise": 0.01, "stem.0": 0.001}
    worst = sorted(costs, key=lambda name: -costs[name])
    made = tuple(
        Culprit(name, "conv2d", drop, costs[name], drop, costs[name], drop, costs[name])
        for name in worst
    )
    return Found((), Effect(drop, 1.0), "KL", samples), made, ()


@pytest.fixture
def treated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def treat(drops: Mapping[str, float], max_drop: float = 0.01, **settings):
        monkeypatch.setattr(Ward, "drops", drops)
        monkeypatch.setattr(module, "score", scored)
        monkeypatch.setattr(module, "examine", seen)
        monkeypatch.setattr(module, "worst_layers", lambda *_: ("depthwise", "head", "conv1", "s"))
        model, task = image_classifier()
        print_of = fingerprint_of(model, model, task)
        workshop = Ward(model, task, Store(tmp_path), tmp_path, print_of)
        lines: list[str] = []
        target = per_tensor()
        workshop.original(target)
        made = Clinic(workshop, target, max_drop, lines.append, **settings)
        return made.diagnose(Treatment(task)), lines, workshop.store

    return treat


def test_it_ends_where_the_drop_is_within_the_limit(treated) -> None:
    found, lines, _ = treated({"int8-minmax": 0.2, "int8-minmax-rounded": 0.005})
    assert [t.variant for t in found.tried if t.is_kept] == ["int8-minmax", "int8-minmax-rounded"]
    assert found.tried[-1].variant == "int8-minmax-rounded"
    assert (found.is_within, found.variant) == (True, "int8-minmax-rounded")
    bought = found.tried[-1].bought
    assert bought.value == pytest.approx(0.195)
    assert 0.16 < bought.low < 0.195 < bought.high < 0.22
    assert any("conv1 (KL 0.9)" in line for line in lines)


def test_nothing_is_tried_where_all_is_well(treated) -> None:
    found, _, _ = treated({"int8-minmax": 0.01})
    assert [t.remedy for t in found.tried] == [""]
    assert found.is_within


def test_what_does_not_help_is_not_gone_on_from(treated) -> None:
    found, lines, _ = treated({"int8-minmax": 0.2, "int8-minmax-rounded": 0.3, "int8-mse": 0.1})
    kept = [t.variant for t in found.tried if t.is_kept]
    assert kept == ["int8-minmax", "int8-mse"]
    assert any("int8-minmax-rounded bought -0.1" in line and "not kept" in line for line in lines)
    # the layers are ranked anew, as the network is quantized now
    assert {t.layers[:1] for t in found.tried if t.layers} == {("depthwise",)}


def test_the_culprits_stay_float_at_the_end(treated) -> None:
    found, _, _ = treated({"int8-minmax": 0.2, "int8-minmax-float1": 0.0})
    assert found.tried[-1].layers == ("conv1",)
    assert found.variant == "int8-minmax-float1"


def test_a_variant_that_cannot_be_made_is_listed_with_its_reason(treated) -> None:
    found, _, _ = treated({"int8-minmax": 0.2, "int8-minmax-rounded": 2.0})
    failed = next(t for t in found.tried if t.variant == "int8-minmax-rounded")
    assert failed.reason == "no such operator"
    assert failed.bought is None


def test_a_first_variant_that_cannot_be_made_ends_it(treated) -> None:
    with pytest.raises(LilliputError, match="int8-minmax on onnxruntime-cpu: no such operator"):
        treated({"int8-minmax": 2.0})


def test_it_is_kept_in_the_runs_notes(treated) -> None:
    import json

    found, _, store = treated({"int8-minmax": 0.2, "int8-mse": 0.0})
    noted = store.notes()["diagnoses"]["onnxruntime-cpu 8 bits"]
    assert noted == json.loads(json.dumps(found.as_dict()))
    assert {t["variant"] for t in noted["tried"]} <= {v.name for v in store.family()}


def test_it_stops_when_told_to(treated) -> None:
    found, _, _ = treated({"int8-minmax": 0.2}, proceed=lambda: False)
    assert len(found.tried) == 1
    assert not found.is_within
