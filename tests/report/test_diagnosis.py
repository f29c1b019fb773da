"""The section on culprits and remedies: there where a run holds a diagnosis, whole and safe."""

import json
from dataclasses import replace

import pytest
from tests.report.diagnoses import made_up
from tests.report.families import share_family
from tests.report.test_page import read

from lilliput.report import report
from lilliput.report.diagnosis_figures import remedies_figure
from lilliput.report.facts import style_of
from lilliput.report.numbers import MetricStyle
from lilliput.report.remedies import kept_text, outcome, source_of

STYLE = MetricStyle("Accuracy", is_share=True)


def plain(**changes):
    return json.loads(json.dumps(replace(made_up(), **changes).as_dict()))


@pytest.fixture
def page(tmp_path):
    family = share_family(tmp_path)
    diagnoses = {"onnxruntime-cpu 8 bits": plain(), "litert-cpu <8> bits": plain()}
    noted = replace(family, notes={**family.notes, "diagnoses": diagnoses})
    return read(report(noted, tmp_path / "report.html"))


def test_names_the_culprits_and_what_each_remedy_bought(page) -> None:
    text = " ".join(page.text)
    assert "diagnosis" in page.ids
    assert "29.60 (20.00 to 35.00)" in text
    assert "no such <operator>" in text
    assert "5,000x" in text
    assert len({i for i in page.ids if i.startswith("figure-diagnosis")}) == 10


def test_a_run_without_a_diagnosis_has_no_such_section(tmp_path) -> None:
    page = read(report(share_family(tmp_path), tmp_path / "report.html"))
    assert "diagnosis" not in page.ids
    assert "#diagnosis" not in page.fetched


def test_bars_go_from_the_best_so_far_to_what_each_variant_drops(tmp_path) -> None:
    figure = remedies_figure(plain(), style_of(share_family(tmp_path)))
    bars = figure.data[0]
    assert bars.base == pytest.approx((0.0, 30.0, 30.0))
    assert bars.y == pytest.approx((30.0, 10.0, -29.6))
    assert bars.marker.color[1] == "#ffffff"


def test_outcome_says_whether_the_limit_holds() -> None:
    assert outcome(plain(), STYLE) == (
        "int8-minmax-float1 after keep the worst higher: drop 0.40 (-1.00 to 2.00) points, "
        "within the limit of 1 point"
    )
    assert "still more than the limit" in outcome(plain(is_within=False), STYLE)


def test_a_gain_that_may_be_chance_is_called_so() -> None:
    tried = plain()["tried"]
    assert [kept_text(row) for row in tried] == ["yes", "no", "no", "yes"]
    lucky = {**tried[3], "bought": {**tried[3]["bought"], "low": -0.1}}
    assert kept_text(lucky) == "yes, within noise"


def test_says_what_of_a_layer_costs_most() -> None:
    sources = [source_of(row) for row in plain()["culprits"]]
    assert sources == ["weights", "activations", "weights"]
