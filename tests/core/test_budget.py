from typing import Any

import pytest
from hypothesis import given, strategies as st

from lilliput.core import Budget, Measurement

FIELDS = {
    "max_size_bytes": "size",
    "max_ram_bytes": "peak_ram",
    "max_flash_bytes": "flash",
    "max_instructions": "instructions",
    "max_latency_ms": "latency",
    "max_drop": "drop",
}


def measured(quantity: str, value: float) -> Measurement:
    return Measurement(quantity, value, "1", "measured", "here")


def test_no_budget_is_never_missed() -> None:
    assert Budget().misses([]) == {}
    assert Budget().limits() == {}


@pytest.mark.parametrize("name", FIELDS)
@given(limit=st.floats(0, 1e9), value=st.floats(-1e9, 1e9))
def test_misses_by_the_difference(name: str, limit: float, value: float) -> None:
    misses = Budget(**{name: limit}).misses([measured(FIELDS[name], value), measured("other", 9e9)])
    is_over = value > limit * (1 + 1e-9) + 1e-12
    expected: dict[str, Any] = {FIELDS[name]: value - limit} if is_over else {}
    assert misses == expected


def test_what_was_not_measured_is_missed_by_infinity() -> None:
    budget = Budget(max_size_bytes=10, max_drop=0.01)
    assert budget.misses([measured("size", 5.0)]) == {"drop": float("inf")}


def test_rounding_is_no_miss() -> None:
    assert 0.9 - 0.89 > 0.01
    assert Budget(max_drop=0.01).misses([measured("drop", 0.9 - 0.89)]) == {}
    assert Budget(max_drop=0.01).misses([measured("drop", 0.0101)]).keys() == {"drop"}


def test_a_value_at_the_limit_is_within() -> None:
    assert Budget(max_latency_ms=2).misses([measured("latency", 2.0)]) == {}


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("value", [-1, float("nan")])
def test_refuses_impossible_limits(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} must be 0 or more, got {value}"):
        Budget(**{name: value})
