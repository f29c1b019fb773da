from itertools import product

import numpy as np
import pytest
from hypothesis import given, strategies as st

from lilliput.quantize.bits import knapsack
from lilliput.quantize.bits.knapsack import front

ITEM = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 99)), min_size=1, max_size=4)


@given(items=st.lists(ITEM, min_size=1, max_size=5), limit=st.integers(0, 45))
def test_finds_what_trying_everything_finds(items: list[list[tuple[int, int]]], limit: int) -> None:
    costs = [[float(cost) for cost, _ in item] for item in items]
    losses = [[float(loss) for _, loss in item] for item in items]
    found = front(costs, losses)
    choice = found.within(limit)
    tried = [
        sum(loss for _, loss in chosen)
        for chosen in product(*items)
        if sum(cost for cost, _ in chosen) <= limit
    ]
    assert (choice is None) == (not tried)
    if choice is not None:
        assert found.losses[choice] == min(tried)
        options = found.options(choice)
        assert sum(item[o] for item, o in zip(costs, options, strict=True)) <= limit
        assert sum(item[o] for item, o in zip(losses, options, strict=True)) == min(tried)


@given(items=st.lists(ITEM, min_size=1, max_size=5))
def test_costs_rise_and_losses_fall(items: list[list[tuple[int, int]]]) -> None:
    found = front(
        [[float(cost) for cost, _ in item] for item in items],
        [[float(loss) for _, loss in item] for item in items],
    )
    assert (np.diff(found.costs) > 0).all()
    assert (np.diff(found.losses) < 0).all()


def test_with_too_many_states_it_stays_within_the_limit_and_near_the_best(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    draw = np.random.default_rng(0)
    costs = draw.random((12, 4)).tolist()
    losses = draw.random((12, 4)).tolist()
    exact = front(costs, losses)
    monkeypatch.setattr(knapsack, "_MOST_STATES", 500)
    coarse = front(costs, losses)
    for limit in (3.0, 4.0, 6.0):
        choice, best = coarse.within(limit), exact.within(limit)
        assert choice is not None
        assert best is not None
        options = coarse.options(choice)
        assert sum(item[o] for item, o in zip(costs, options, strict=True)) <= limit + 1e-6
        assert coarse.losses[choice] <= 1.05 * exact.losses[best]
