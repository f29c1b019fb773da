"""Numbers read the way people say them."""

import pytest
from hypothesis import given, strategies as st

from lilliput.core import Measurement
from lilliput.report.numbers import (
    MetricStyle,
    bytes_text,
    count_text,
    interval_text,
    ms_text,
    short,
    times_text,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.00 kB"), (250_000, "250 kB"), (999_600, "1.00 MB")],
)
def test_a_kilobyte_is_a_thousand_bytes(value, text):
    assert bytes_text(float(value)) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.00031, "0.000310"),
        (0.00504, "0.00504"),
        (9.996, "10.0"),
        (0.868, "0.868"),
        (2.41, "2.41"),
        (41.26, "41.3"),
    ],
)
def test_three_digits(value, text):
    assert short(float(value)) == text
    assert ms_text(float(value)) == f"{text} ms"


@given(st.floats(1e-3, 1e9))
def test_short_text_is_within_half_a_percent(value):
    assert float(short(value).replace(",", "")) == pytest.approx(value, rel=0.0051)


def test_ratios_and_counts():
    assert times_text(3.14) == "3.1x"
    assert times_text(0.82) == "0.82x"
    assert count_text(41.2e6) == "41.2 M"


def test_an_interval_without_an_end_is_not_written():
    assert interval_text(1.0, None) == ""
    assert interval_text(1.0, 2.0, digits=1) == "(1.0 to 2.0)"


def drop(value, low=None, high=None):
    return Measurement("drop", value, "Accuracy", "measured", "host", 100, low, high)


def test_a_share_is_in_percent_and_its_drop_in_points():
    style = MetricStyle.of("Accuracy", [0.9, 0.85])
    assert style.value(0.9173) == "91.73 %"
    assert style.drop(drop(0.0031, 0.001, 0.005)) == "0.31 points (0.10 to 0.50)"
    assert style.limit(0.01) == "1 point"
    assert style.limit(0.005) == "0.5 points"


def test_nothing_lost_has_no_sign():
    assert MetricStyle("Accuracy", True).difference(-1e-9) == "0.00"


def test_other_metrics_keep_their_own_unit():
    style = MetricStyle.of("MeanAbsoluteError", [0.2, 0.3], higher_is_better=False)
    assert not style.is_share
    assert style.drop(drop(0.61, 0.4, 0.7)) == "0.61 (0.4 to 0.7)"
    assert not MetricStyle.of("PSNR", [31.0]).is_share
    assert not MetricStyle.of("Accuracy", []).is_share
