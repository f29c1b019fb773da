"""The search for the price, on curves whose answer is known."""

import math

import pytest

from lilliput.core import BudgetError
from lilliput.quantize.coded.budgets import Limit, Trial, search


def curve_of(quantum: float) -> tuple[list[float], "object"]:
    """Distance falls as the price rises, in jumps; each doubling takes 500 bytes."""
    asked: list[float] = []

    def attempt(price: float) -> Trial:
        asked.append(price)
        place = round(math.log2(price) / quantum) * quantum
        return Trial(price, 500 * place, 40 / 2**place, 0.0)

    return asked, attempt


@pytest.mark.parametrize("start", [1e2, 2e3, 1e6])
def test_a_distance_is_kept_and_nearly_used_up_after_a_few_trials(start: float) -> None:
    asked, attempt = curve_of(0.01)
    found = search(Limit("distance", 0.02), start, attempt)
    assert 0.0185 < found.distance <= 0.02
    assert len(asked) <= 6


def test_bytes_are_kept_and_nearly_used_up() -> None:
    asked, attempt = curve_of(0.01)
    found = search(Limit("bytes", 5000), 700.0, attempt)
    assert 4900 < found.size_bytes <= 5000
    assert len(asked) <= 8


def test_jumps_end_the_search() -> None:
    asked, attempt = curve_of(1.0)
    found = search(Limit("distance", 0.03), 3e2, attempt)
    assert found.distance == 40 / 2**11
    assert len(asked) <= 14


def test_a_limit_out_of_reach_names_the_closest() -> None:
    with pytest.raises(BudgetError, match=r"within 0.0200; allow at least 0.100"):
        search(Limit("distance", 0.02), 10.0, lambda price: Trial(price, 9.0, 0.1, 0.0))
