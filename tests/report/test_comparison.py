"""The page of a comparison: whole, offline, safe, and its verdict follows from the intervals."""

import json
from dataclasses import replace

import pytest
from tests.report.comparisons import made_up, measured, row
from tests.report.test_page import read

from lilliput.report import comparison_page
from lilliput.report.comparison_figure import comparison_figure
from lilliput.report.numbers import MetricStyle
from lilliput.report.verdict import style_of_comparison, verdict

STYLE = MetricStyle("Accuracy", is_share=True)


def led(*leads):
    rows = [row("pruned", 1, [0.9])]
    rows += [row(f"arm{i}", 1, [0.9], lead) for i, lead in enumerate(leads)]
    return made_up(rows=tuple(rows))


def test_a_browser_fetches_nothing_and_finds_every_number(tmp_path) -> None:
    path = comparison_page(made_up(), tmp_path)
    page = read(path)
    text = " ".join(page.text)
    assert path == tmp_path / "comparison.html"
    assert all(link.startswith("#") for link in page.fetched)
    assert {"score", "arms", "left-out", "settings", "figure-comparison"} <= set(page.ids)
    assert "digits <b>: prune, or train small?" in text
    assert "2.00 (1.00 to 3.00)" in text
    assert "the loss is <nan>" in text
    assert json.loads((tmp_path / "comparison.json").read_text())["rows"][1]["epochs"] == 10


def test_points_are_the_means_and_bars_their_intervals() -> None:
    figure = comparison_figure(made_up(), STYLE)
    traces = {trace.name: trace for trace in figure.data if trace.name}
    assert list(traces) == [*(r.arm for r in made_up().rows), "original"]
    scratch = traces["scratch, same epochs"]
    assert scratch.y[0] == pytest.approx(90.0)
    assert scratch.error_y.array[0] == pytest.approx(1.0)
    assert scratch.x[0] == pytest.approx(50, abs=5)
    assert traces["original"].x[0] == 150
    dots = [trace for trace in figure.data if not trace.name]
    assert dots[1].y == pytest.approx((89.0, 90.0, 91.0))


def test_files_of_one_size_stand_apart() -> None:
    figure = comparison_figure(made_up(), STYLE)
    places = [trace.x[0] for trace in figure.data if trace.name]
    assert len(set(places)) == 5


@pytest.mark.parametrize(
    ("leads", "said"),
    [
        (
            [(0.02, 0.01, 0.03), (0.03, 0.02, 0.04)],
            "prune: the nearest, arm0, is behind by 2.00 points (1.00 to 3.00)",
        ),
        (
            [(0.02, 0.01, 0.03), (-0.03, -0.04, -0.02)],
            "train small: arm1 is better than pruning by 3.00 points (2.00 to 4.00)",
        ),
        (
            [(0.02, -0.01, 0.03), (0.03, 0.02, 0.04)],
            "no clear answer: arm0 differs from pruning by no more than chance may",
        ),
        (
            [(0.02,), (0.03,)],
            "no clear answer: arm0 and arm1 differ from pruning by no more than chance may",
        ),
        ([], "nothing to compare yet: the pruned arm and another must have a run"),
    ],
)
def test_the_verdict_is_what_the_intervals_say(leads, said) -> None:
    assert verdict(led(*leads), STYLE) == said


def test_a_stopped_run_has_a_page_that_says_so(tmp_path) -> None:
    page = read(comparison_page(made_up(rows=(), was_stopped=True), tmp_path))
    assert "stopped before all runs were made" in " ".join(page.text)


def test_an_error_is_written_in_its_own_unit() -> None:
    errors = made_up(metric="MeanAbsoluteError", higher_is_better=False)
    assert not style_of_comparison(errors).is_share
    assert style_of_comparison(made_up()).is_share


def test_without_test_data_validation_counts() -> None:
    rows = [replace(r, test_metric=None) for r in (made_up().original, *made_up().rows)]
    figure = comparison_figure(made_up(original=rows[0], rows=tuple(rows[1:])), STYLE)
    scratch = next(trace for trace in figure.data if trace.name == "scratch, same epochs")
    assert scratch.error_y.array[0] == pytest.approx(2.0)
    assert measured("metric", 0.9).low is None
