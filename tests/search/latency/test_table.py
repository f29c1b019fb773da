"""The table holds what was timed, for widths that suit the runtime."""

import pytest

from lilliput.graph import channel_groups, trace
from lilliput.search.latency.table import LatencyTable, latency_table, levels_of
from lilliput.targets import get_target
from lilliput.testing.nets import TINY_TASKS

TARGET = get_target("onnxruntime-cpu")


@pytest.fixture(scope="module")
def tiny():
    return TINY_TASKS["image_classifier"]()


def test_levels_leave_widths_that_the_runtime_likes() -> None:
    assert [64 * (1 - ratio) for ratio in levels_of(64, 16)] == [48, 32, 16]
    assert [16 * (1 - ratio) for ratio in levels_of(16, 16)] == [8]
    assert [6 * (1 - ratio) for ratio in levels_of(6, 16)] == pytest.approx([4, 2])
    assert len(levels_of(1536, 16)) <= 5
    assert levels_of(1, 16) == ()


def test_a_group_inside_a_removed_block_saves_nothing_more() -> None:
    table = LatencyTable({"a.conv": {0.5: 0.1}, "b.conv": {0.5: 0.2}}, {"a": 0.3}, {"a.conv": "a"})
    assert table({}) == 1
    assert table({"a.conv": 0.5, "b.conv": 0.5}) == pytest.approx(0.7)
    assert table({"a": 1.0, "a.conv": 0.5, "b.conv": 0.5}) == pytest.approx(0.5)


def test_the_table_holds_every_group_at_its_levels(tiny) -> None:
    model, task = tiny
    table = latency_table(model, TARGET, task)
    widths = {g.name: g.size for g in channel_groups(trace(model)) if g.kind == "channels"}
    assert set(table.channels) <= set(widths)
    for name, by_ratio in table.channels.items():
        assert tuple(by_ratio) == levels_of(widths[name], TARGET.channel_multiple)
    assert all(saved < 1 for by in table.channels.values() for saved in by.values())


def test_skipped_groups_are_not_in_the_table(tiny) -> None:
    model, task = tiny
    name = next(g.name for g in channel_groups(trace(model)) if g.kind == "channels")
    table = latency_table(model, TARGET, task, skip=(name,), has_blocks=False)
    assert name not in table.channels
    assert not table.blocks
