"""When a search asks why, and with what."""

from pathlib import Path

import pytest
from tests.search.test_ladder import ORT, QuickWorkshop, ladder

from lilliput.core import Budget, Measurement
from lilliput.recipe import recipe_hash
from lilliput.search import treat as module
from lilliput.search.clinic.treatment import Treatment
from lilliput.search.space import Point
from lilliput.search.treat import _start


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs the rungs without training; gives what was diagnosed and what was told."""
    started: list[Treatment] = []

    class FakeClinic:
        def __init__(self, *_, **__): ...

        def diagnose(self, start: Treatment) -> None:
            started.append(start)

    class Losing(QuickWorkshop):
        low = 0.02

        def _make(self, candidate, target):
            made = super()._make(candidate, target)
            drop = Measurement("drop", 0.03, "1", "measured", "here", 1, self.low, 0.04)
            if candidate.name != "original":
                self.store.update(made.id, [drop])
            found = self.store.find(made.key)
            assert found is not None
            return found

    def ask(low: float, **settings):
        monkeypatch.setattr(module, "Clinic", FakeClinic)
        started.clear()
        made = ladder(tmp_path, **settings)
        made.workshop.__class__ = Losing
        made.workshop.low = low
        made._make_originals()
        made._quantize()
        made._treat()
        return list(started), made.tell.__self__

    return ask


def test_what_misses_the_limit_beyond_noise_is_diagnosed(asked) -> None:
    started, lines = asked(0.02, budget=Budget(max_drop=0.01))
    assert [start.bits for start in started] == [8, 4]
    assert any("looking for why" in line for line in lines)
    again, _ = asked(0.02, budget=Budget(max_drop=0.01))
    assert again == []


def test_noise_is_not(asked) -> None:
    assert asked(0.005, budget=Budget(max_drop=0.01))[0] == []


def test_nor_anything_without_a_limit(asked) -> None:
    assert asked(0.02)[0] == []


def test_without_time_it_is_said(asked) -> None:
    started, lines = asked(0.02, budget=Budget(max_drop=0.01), limit_s=1e-3)
    assert started == []
    assert any("a longer time budget finds why" in line for line in lines)


@pytest.mark.parametrize("point", [Point(), Point(observer="mse", bits=4, is_rounded=True)])
def test_it_begins_with_the_very_recipe_of_the_rung(point: Point, tmp_path: Path) -> None:
    space = ladder(tmp_path).space
    candidate = space.candidate(point)
    start = _start(point, space.task)
    assert start.name == candidate.name
    assert recipe_hash(start.passes(ORT.rules)) == recipe_hash(candidate.finish(ORT))
