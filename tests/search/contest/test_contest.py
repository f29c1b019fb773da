"""Runs are made seed by seed, once each, and what fails does not end the others."""

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from lilliput.core import Artifact, LilliputError, Measurement, Target
from lilliput.prune import PruneChannels
from lilliput.registry import Store, Variant
from lilliput.search import Candidate, Workshop
from lilliput.search.contest.arms import arms_of
from lilliput.search.contest.contest import Contest
from lilliput.search.contest.lesson import Lesson
from lilliput.targets import get_target
from lilliput.testing.nets import image_classifier
from lilliput.train import Constant, Training

ORT = get_target("onnxruntime-cpu")


class Fake(Workshop):
    """Stores a made-up file for each candidate; the one named fails."""

    made: ClassVar[list[str]] = []
    fails = ""

    def _make(self, candidate: Candidate, target: Target) -> Variant:
        if candidate.name == self.fails:
            raise LilliputError("no luck")
        self.made.append(candidate.name)
        file = self.folder / "model.onnx"
        file.write_bytes(candidate.name.encode())
        return self.store.add(
            key=self.key(candidate, target),
            name=candidate.name,
            target=target.name,
            artifact=Artifact.of(file, "onnx"),
            measurements=[Measurement("metric", 0.5, "1", "measured", "here")],
            seed=self.seed,
        )


@pytest.fixture
def contest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Contest:
    monkeypatch.setattr(Fake, "made", [])
    monkeypatch.setattr(Fake, "fails", "")
    model, task = image_classifier()
    arms = arms_of(model, [PruneChannels(0.5)], epochs=2)
    twin = replace(arms[-1], name="narrower", slug="narrower", same_as=arms[-1].name)
    lesson = Lesson(task, Training(), 0.01, 0.1, Constant())
    workshop = Fake(model, task, Store(tmp_path), tmp_path, "f")
    return Contest(workshop, ORT, (*arms, twin), lesson, (3, 5), lambda _: None)


def again(contest: Contest) -> Contest:
    return replace(contest, done={}, left_out=[])


def test_every_arm_has_its_first_seed_before_any_has_its_second(contest: Contest) -> None:
    contest.run()
    assert Fake.made == [
        *("pruned-seed3", "scratch-epochs-seed3", "scratch-compute-seed3"),
        *("pruned-seed5", "scratch-epochs-seed5", "scratch-compute-seed5"),
    ]
    assert {variant.seed for variant in contest.workshop.store.family()} == {3, 5}


def test_a_twin_has_the_runs_of_the_other(contest: Contest) -> None:
    contest.run()
    assert contest.done["narrower"] == contest.done["scratch, same compute"]


def test_what_is_on_disk_is_not_made_again(contest: Contest) -> None:
    contest.run()
    first, Fake.made[:] = list(Fake.made), []
    second = again(contest)
    second.run()
    assert len(first) == 6
    assert Fake.made == []
    assert second.done == contest.done


def test_a_run_that_is_stopped_keeps_what_it_has(contest: Contest) -> None:
    def stop(line: str) -> None:
        if line.startswith("scratch, same epochs"):
            raise KeyboardInterrupt

    contest.tell = stop
    with pytest.raises(KeyboardInterrupt):
        contest.run()
    assert sorted(contest.done) == ["pruned", "scratch, same epochs"]
    assert len(contest.workshop.store.family()) == 2
    rest = replace(again(contest), tell=lambda _: None)
    rest.run()
    assert len(Fake.made) == 6


def test_a_run_that_fails_is_left_out_with_its_reason(
    contest: Contest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Fake, "fails", "scratch-epochs-seed3")
    contest.run()
    (left,) = contest.left_out
    assert (left.arm, left.seed, left.reason) == ("scratch, same epochs", 3, "no luck")
    assert list(contest.done["scratch, same epochs"]) == [5]
    assert list(contest.done["pruned"]) == [3, 5]
