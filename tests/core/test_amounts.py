"""Amounts read the way people say them."""

import pytest
from hypothesis import given, strategies as st

from lilliput.core.amounts import bytes_text, short


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


@given(st.floats(1e-3, 1e9))
def test_short_text_is_within_half_a_percent(value):
    assert float(short(value).replace(",", "")) == pytest.approx(value, rel=0.0051)
