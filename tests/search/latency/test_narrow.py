"""Rounds against a clock that counts parameters; one against the runtime's own."""

import pytest

from lilliput.core import Model, run
from lilliput.graph import channel_groups, trace
from lilliput.search.latency import narrow
from lilliput.search.latency.narrow import NarrowToLatency
from lilliput.search.latency.table import LatencyTable
from lilliput.targets import get_target
from lilliput.testing.nets import TINY_TASKS

TARGET = get_target("onnxruntime-cpu")


def count(model: Model) -> int:
    return sum(p.numel() for p in model.module.parameters())


@pytest.fixture(scope="module")
def tiny():
    return TINY_TASKS["image_classifier"]()


@pytest.fixture
def clock(monkeypatch):
    """Half of any group's channels are a tenth of the time; the whole goes by parameters."""

    def table(model, target, task, skip, has_blocks):
        names = [g.name for g in channel_groups(trace(model)) if g.kind == "channels"]
        return LatencyTable({name: {0.5: 0.1} for name in names if name not in skip}, {}, {})

    monkeypatch.setattr(narrow, "latency_table", table)
    monkeypatch.setattr(
        NarrowToLatency, "_measured", lambda _, small, original: count(small) / count(original)
    )


def test_rounds_go_on_until_the_clock_says_enough(tiny, clock) -> None:
    model, task = tiny
    small = run(model, [NarrowToLatency(task, TARGET, share=0.4)])
    assert count(small) / count(model) <= 0.4
    told = [str(note) for note in small.notes]
    assert told[-1].endswith(f"{count(small) / count(model):.3f} measured")
    assert [step.name for step in small.history] == ["NarrowToLatency"]


def test_recovery_runs_after_every_round_but_the_last(tiny, clock) -> None:
    model, task = tiny
    seen = []

    def recover(small: Model) -> Model:
        seen.append(count(small))
        return small

    small = run(model, [NarrowToLatency(task, TARGET, share=0.2, rounds=2, recover=recover)])
    assert len(seen) == 1
    assert count(small) < seen[0] < count(model)


def test_a_share_out_of_reach_is_told(tiny, clock) -> None:
    model, task = tiny
    names = tuple(g.name for g in channel_groups(trace(model)))
    small = run(model, [NarrowToLatency(task, TARGET, share=0.01, skip=names[1:])])
    assert count(small) / count(model) > 0.01
    assert "a share of 0.01 of the latency was asked for" in str(small.notes[-1])


def test_the_runtime_is_asked(tiny) -> None:
    model, task = tiny
    small = run(model, [NarrowToLatency(task, TARGET, share=0.9, has_blocks=False)])
    assert any("measured" in str(note) for note in small.notes)
    assert count(small) < count(model)


@pytest.mark.parametrize("share", [0.0, 1.0, 1.5])
def test_a_share_that_is_none_is_refused(tiny, share: float) -> None:
    with pytest.raises(ValueError, match=f"share must be between 0 and 1, got {share}"):
        NarrowToLatency(tiny[1], TARGET, share=share)


def test_a_round_that_is_none_is_refused(tiny) -> None:
    with pytest.raises(ValueError, match="rounds must be 1 or more, got 0"):
        NarrowToLatency(tiny[1], TARGET, rounds=0)
