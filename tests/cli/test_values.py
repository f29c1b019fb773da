"""What people type becomes the number they mean."""

import contextlib

import pytest
import typer
from hypothesis import given, strategies as st

from lilliput.cli.values import parse_bytes, parse_count, parse_ms, parse_seconds, parse_share

PARSERS = (parse_bytes, parse_count, parse_ms, parse_seconds, parse_share)


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (parse_bytes, "250kB", 250_000),
        (parse_bytes, "1.5 MB", 1_500_000),
        (parse_bytes, "64KiB", 65_536),
        (parse_bytes, "250,000", 250_000),
        (parse_bytes, "250_000 b", 250_000),
        (parse_bytes, "12", 12),
        (parse_count, "5M", 5e6),
        (parse_count, "500k", 5e5),
        (parse_count, "5,000,000", 5e6),
        (parse_ms, "2ms", 2),
        (parse_ms, "500us", 0.5),
        (parse_ms, ".1s", 100),
        (parse_seconds, "30m", 1800),
        (parse_seconds, "1h30m", 5400),
        (parse_seconds, "1h 30min 5s", 5405),
        (parse_seconds, "90", 90),
        (parse_share, "1%", 0.01),
        (parse_share, "0.5 %", 0.005),
        (parse_share, "0.01", 0.01),
        (parse_share, "1e-3", 0.001),
    ],
)
def test_reads_common_spellings(parse, text, value):
    assert parse(text) == pytest.approx(value)


@pytest.mark.parametrize("parse", PARSERS)
@pytest.mark.parametrize(
    "text",
    ["", " ", "big", "-1", "1,5", "1..2", "3 parsecs", "nan", "inf", "1e999", "1 2", "%", "²"],
)
def test_refuses_what_it_cannot_read_and_repeats_it(parse, text):
    with pytest.raises(typer.BadParameter) as caught:
        parse(text)
    assert repr(text) in caught.value.message


@pytest.mark.parametrize("text", ["1kB2kB", "1%2%", "1ms1"])
def test_only_times_add_up(text):
    for parse in (parse_bytes, parse_ms, parse_share):
        with pytest.raises(typer.BadParameter):
            parse(text)


@given(st.floats(0, 1e12), st.sampled_from(["B", "kB", "MB", "GB", "KiB", "MiB"]))
def test_units_of_bytes_are_powers_of_1000_and_1024(number, unit):
    base = 1024 if "i" in unit else 1000
    power = "BKMG".index(unit[0].upper())
    assert parse_bytes(f"{number!r}{unit}") == pytest.approx(number * base**power)


@given(st.integers(0, 99), st.integers(0, 59), st.integers(0, 59))
def test_hours_minutes_and_seconds_add_up(hours, minutes, seconds):
    expected = 3600 * hours + 60 * minutes + seconds
    assert parse_seconds(f"{hours}h{minutes}m{seconds}s") == expected


@given(st.floats(0, 100))
def test_a_percent_is_a_hundredth(number):
    assert parse_share(f"{number!r}%") == pytest.approx(number / 100)


@given(st.text(max_size=12))
def test_any_text_gives_a_number_or_a_usage_error(text):
    for parse in PARSERS:
        with contextlib.suppress(typer.BadParameter):
            assert parse(text) >= 0
