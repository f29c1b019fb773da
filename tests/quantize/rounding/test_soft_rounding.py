import math

import pytest
import torch
from hypothesis import given, strategies as st

from lilliput.core import IntegerType
from lilliput.quantize.rounding.soft_rounding import SoftRounding, pressure

KIND = IntegerType(4, is_symmetric=True)
INSIDE = st.lists(st.floats(KIND.low, KIND.high, width=32), min_size=1, max_size=20)


def nearest(wish: torch.Tensor) -> torch.Tensor:
    return wish.round().clamp(KIND.low, KIND.high).int()


@given(INSIDE)
def test_begins_at_the_weights_where_codes_are_the_nearest(values: list[float]) -> None:
    wish = torch.tensor(values)
    soft = SoftRounding(wish, nearest(wish), KIND)
    assert ((soft() - wish).abs() <= 0.05 + 1e-5).all()


@given(INSIDE, st.lists(st.integers(KIND.low, KIND.high), min_size=20, max_size=20))
def test_gives_any_codes_back_that_it_began_with(values: list[float], codes: list[int]) -> None:
    wish = torch.tensor(values)
    start = torch.tensor(codes[: len(values)], dtype=torch.int32)
    soft = SoftRounding(wish, start, KIND)
    assert torch.equal(soft.rounded(), start)


def test_stays_among_the_integers() -> None:
    wish = torch.tensor([-30.0, -7.2, 7.2, 30.0])
    soft = SoftRounding(wish, nearest(wish), KIND)
    for logit in (-100.0, 100.0):
        with torch.no_grad():
            soft.logits.fill_(logit)
        assert soft.rounded().min() >= KIND.low
        assert soft.rounded().max() <= KIND.high


def test_share_and_penalty_are_the_paper_s() -> None:
    soft = SoftRounding(torch.tensor([0.3]), torch.tensor([0], dtype=torch.int32), KIND)
    with torch.no_grad():
        soft.logits.fill_(0.7)
    share = min(1.0, max(0.0, 1.2 / (1 + math.exp(-0.7)) - 0.1))
    assert soft.share().item() == pytest.approx(share, rel=1e-6)
    assert soft.penalty(5.0).item() == pytest.approx(1 - abs(2 * share - 1) ** 5, rel=1e-5)


def test_penalty_is_nothing_on_integers() -> None:
    soft = SoftRounding(torch.tensor([0.3, 0.4]), torch.tensor([0, 0], dtype=torch.int32), KIND)
    with torch.no_grad():
        soft.logits.copy_(torch.tensor([-9.0, 9.0]))
    assert soft.penalty(2.0).tolist() == [0.0, 0.0]


def test_pressure_begins_late_and_grows() -> None:
    assert pressure(0.0) is None
    assert pressure(0.19) is None
    assert pressure(0.2) == pytest.approx((0.1, 4.0))
    assert pressure(1.0) == pytest.approx((100.0, 2.0))
    weights = [pressure(done)[0] for done in (0.3, 0.5, 0.7, 0.9)]
    assert weights == sorted(weights)
