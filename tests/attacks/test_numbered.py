"""Damaged files and updates, by number, are opened or refused, in time.

`benchmarks/pack_attacks.py` runs a million of them.
"""

import pytest
from tests.attacks.attack import Seeds, attack, attack_update
from tests.attacks.mutations import MUTATIONS
from tests.attacks.updates import UPDATE_MUTATIONS

from lilliput.core import disk


@pytest.fixture(autouse=True)
def _quickly(monkeypatch):
    """Damaged files need not survive a power cut."""
    monkeypatch.setattr(disk, "sync", lambda _: None)


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    return Seeds.made_in(tmp_path_factory.mktemp("seeds"))


@pytest.mark.parametrize("count", [60, pytest.param(3000, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("run", "mutations"), [(attack, MUTATIONS), (attack_update, UPDATE_MUTATIONS)]
)
def test_attacks_are_opened_or_refused(seeds, run, mutations, count, tmp_path):
    outcomes = [run(seeds, number, tmp_path) for number in range(count)]
    assert {outcome.mutation for outcome in outcomes} == {*mutations}
    assert len({outcome.reason for outcome in outcomes}) > 9
