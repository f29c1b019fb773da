"""The pictures show what was measured."""

import pytest
from tests.report.families import error_family, share_family

from lilliput.report.figures import front_figure, heat_map, hidden_below


def points(figure):
    return [
        (trace.legendgroup, x, y)
        for trace in figure.data
        if trace.mode == "markers"
        for x, y in zip(trace.x, trace.y, strict=True)
    ]


@pytest.mark.parametrize(("x", "unit"), [("size", 1e-3), ("latency", 1.0)])
def test_every_variant_is_a_point_in_kb_or_ms_and_percent(x, unit, tmp_path):
    family = share_family(tmp_path)
    expected = sorted((v.target, v.value(x) * unit, 100 * v.value("metric")) for v in family)
    found = sorted(points(front_figure(family, x)))
    assert [row[0] for row in found] == [row[0] for row in expected]
    assert [row[1:] for row in found] == [pytest.approx(row[1:]) for row in expected]


def test_error_bars_end_where_the_intervals_do(tmp_path):
    family = share_family(tmp_path)
    trace = next(t for t in front_figure(family, "latency").data if t.mode == "markers")
    first = family.variants[1]
    high = trace.x[0] + trace.error_x.array[0]
    assert high == pytest.approx(first.measurement("latency").high)
    low = trace.y[0] - trace.error_y.arrayminus[0]
    assert low == pytest.approx(100 * first.measurement("metric").low)


def test_the_lines_are_the_fronts(tmp_path):
    family = share_family(tmp_path)
    lines = [trace for trace in front_figure(family, "size").data if trace.mode == "lines"]
    for trace in lines:
        assert list(trace.x) == sorted(trace.x)
        assert list(trace.y) == sorted(trace.y)
    assert len(lines) == 2


def test_the_budget_is_drawn_where_it_lies(tmp_path):
    figure = front_figure(share_family(tmp_path), "size")
    upright, level = figure.layout.shapes
    assert upright.x0 == upright.x1 == pytest.approx(250)
    assert level.y0 == level.y1 == pytest.approx(90.73)
    assert front_figure(error_family(tmp_path), "size").layout.shapes == ()


def test_targets_differ_in_colour_and_shape(tmp_path):
    traces = [t for t in front_figure(share_family(tmp_path), "size").data if t.mode == "markers"]
    looks = {t.legendgroup: (t.marker.line.color, t.marker.symbol) for t in traces[::2]}
    colours, symbols = zip(*looks.values(), strict=True)
    assert len(set(colours)) == len(set(symbols)) == 2


def test_hopeless_variants_do_not_squash_the_picture(tmp_path):
    family = share_family(tmp_path)
    assert {v.name for v in hidden_below(family, "size")} == {"int8-4bit <b>x</b>"}
    low, _ = front_figure(family, "size").layout.yaxis.range
    assert low > 80


def test_nothing_measured_gives_no_picture(tmp_path):
    assert front_figure(error_family(tmp_path), "latency") is None


def test_the_heat_map_has_a_row_for_each_group_and_gaps_where_nothing_is_known():
    figure = heat_map({"a": {"0.25": 0.1, "0.5": 0.2}, "b": {"0.5": 0.4}}, "lost")
    assert list(figure.data[0].y) == ["a", "b"]
    assert list(figure.data[0].x) == ["25%", "50%"]
    assert figure.data[0].z[1][0] is None


def test_a_limit_far_from_all_variants_does_not_stretch_the_picture(tmp_path):
    family = share_family(tmp_path)
    family.notes["budget"] = {"drop": 2.0, "size": 1e9}
    figure = front_figure(family, "size")
    assert figure.layout.shapes == ()
    assert figure.layout.yaxis.range[0] > 10
    assert 10 ** figure.layout.xaxis.range[1] < 2000
