"""Ranks chosen greedily against the best of all combinations."""

import itertools
import random

import pytest

from lilliput.edit.factors.kind import Choice
from lilliput.edit.factors.ranks import allot_ranks


def convex(seed: int) -> tuple[dict[str, int], dict[str, list[Choice]]]:
    """Layers whose energies fall like singular values."""
    draw = random.Random(seed)
    wholes, choices = {}, {}
    for name in "abc":
        energies = sorted((draw.random() ** 3 for _ in range(8)), reverse=True)
        each = draw.randint(5, 20)
        total, kept, found = sum(energies), 0.0, []
        for rank, energy in enumerate(energies, 1):
            kept += energy
            found.append(Choice((rank,), rank * each, max(0.0, 1 - kept / total)))
        wholes[name], choices[name] = each * 5, found
    return wholes, choices


@pytest.mark.parametrize("share", [0.25, 0.5, 0.9])
@pytest.mark.parametrize("seed", range(8))
def test_meets_the_budget_and_loses_little_more_than_the_best(seed: int, share: float) -> None:
    wholes, choices = convex(seed)
    target = share * sum(wholes.values())
    chosen = allot_ranks(wholes, choices, target)
    forms = [[Choice((), wholes[name], 0.0), *choices[name]] for name in wholes]
    fitting = [
        combination
        for combination in itertools.product(*forms)
        if sum(choice.macs for choice in combination) <= target
    ]
    best = min(sum(choice.lost for choice in combination) for combination in fitting)
    assert sum(choice.macs for choice in chosen.values()) <= target
    assert sum(choice.lost for choice in chosen.values()) <= best + 0.1


def test_all_stays_where_nothing_has_to_go() -> None:
    wholes, choices = convex(0)
    chosen = allot_ranks(wholes, choices, float(sum(wholes.values())))
    assert all(choice.ranks == () for choice in chosen.values())


def test_gives_the_least_there_is_where_the_budget_is_out_of_reach() -> None:
    wholes, choices = convex(0)
    chosen = allot_ranks(wholes, choices, 1.0)
    assert all(choice.ranks == (1,) for choice in chosen.values())
