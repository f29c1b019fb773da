"""Numbers read the way people say them."""

from lilliput.core import Measurement
from lilliput.report.numbers import MetricStyle, count_text, interval_text, ms_text, times_text


def test_ratios_and_counts():
    assert times_text(3.14) == "3.1x"
    assert times_text(0.82) == "0.82x"
    assert ms_text(0.868) == "0.868 ms"
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
