"""Architectures of points, by bytes, multiplications and time."""

import pytest
import torch
from torch import Tensor, nn

from lilliput.core import Model, run
from lilliput.graph import channel_groups, trace
from lilliput.prune import PruneChannels, RemoveBlocks
from lilliput.registry import Store
from lilliput.search.latency.table import LatencyTable
from lilliput.search.shape import Shapes
from lilliput.search.survey import _note_drops, _table
from lilliput.targets import get_target
from lilliput.testing.nets import image_classifier

TABLE = LatencyTable(
    {"a.conv": {0.5: 0.1, 0.75: 0.15}, "b.conv": {0.5: 0.1, 0.75: 0.15}, "c": {0.5: 0.2}},
    {"a": 0.3, "b": 0.3},
    {"a.conv": "a", "b.conv": "b"},
)
DROPS = {"a.conv": {"0.5": 0.1, "0.75": 0.5}, "b.conv": {"0.5": 0.2}, "c": {"0.5": 0.9}}


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.out = nn.Conv2d(4, 8, 3, padding=1), nn.Conv2d(8, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.out(self.conv(x).relu())


class Blocks(nn.Module):
    """A layer `c`, and two blocks on what it gives."""

    def __init__(self) -> None:
        super().__init__()
        self.c, self.a, self.b = nn.Conv2d(3, 4, 3, padding=1), Block(), Block()
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.b(self.a(self.c(x))).mean((2, 3)))


@pytest.fixture
def shapes() -> Shapes:
    task = image_classifier()[1]
    model = Model(Blocks(), (torch.randn(2, 3, 8, 8),))
    return Shapes(model, task, DROPS, {"a": 1.0, "b": 2.0}, counts="latency", table=TABLE)


def ratios(passes) -> dict[str, float]:
    return dict(next((p.ratio for p in passes if isinstance(p, PruneChannels)), {}))


def test_time_goes_where_it_costs_least(shapes: Shapes) -> None:
    assert ratios(shapes.passes(0, 0.9, 1.0)) == {"a.conv": 0.5}
    assert ratios(shapes.passes(0, 0.8, 1.0)) == {"a.conv": 0.5, "b.conv": 0.5}


def test_a_ratio_that_was_not_measured_is_not_chosen(shapes: Shapes) -> None:
    for share in (0.9, 0.7, 0.5, 0.3):
        assert ratios(shapes.passes(0, share, 1.0)).get("b.conv") != 0.75


def test_blocks_that_go_first_count_as_time(shapes: Shapes) -> None:
    passes = shapes.passes(1, 0.8, 1.0)
    assert [p.names for p in passes if isinstance(p, RemoveBlocks)] == [("a",)]
    assert "a.conv" not in ratios(passes)
    assert shapes.left_without(1) == pytest.approx(0.7)
    assert TABLE({"a": 1.0, **ratios(passes)}) <= 0.8 * 0.7 + 1e-9


class Pair(nn.Module):
    """Two layers beside a shortcut, each of which could go."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.first, self.second = (nn.Conv2d(c, 4, 3, padding=1) for c in (3, 4, 4))
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.head((x + self.second(self.first(x).relu())).mean((2, 3)))


@pytest.mark.parametrize("gone", ["first", "second"])
def test_groups_that_end_with_a_block_are_left_whole(gone: str) -> None:
    """Without the second, what the first gives is added to what the stem gives."""
    model = Model(Pair(), (torch.randn(2, 3, 8, 8),))
    assert {"stem", "first"} <= {g.name for g in channel_groups(trace(model))}
    table = LatencyTable(
        {"stem": {0.5: 0.1}, "first": {0.5: 0.1}}, {"first": 0.3, "second": 0.3}, {"first": "first"}
    )
    passes = table.passes(model, {gone: 1.0, "stem": 0.5, "first": 0.5})
    assert ratios(passes) == {"stem": 0.5}
    small = run(model, passes)
    assert small.module.stem.out_channels == 2


def test_elsewhere_blocks_count_by_their_parameters() -> None:
    model, task = image_classifier()
    name = next(n for n, part in model.module.named_children() if list(part.parameters()))
    shapes = Shapes(model, task, {}, {name: 0.1})
    whole = sum(p.numel() for p in model.module.parameters())
    own = sum(p.numel() for p in model.module.get_submodule(name).parameters())
    assert shapes.left_without(1) == pytest.approx(1 - own / whole)


def test_another_target_has_a_table_of_its_own(monkeypatch, tmp_path) -> None:
    asked = []
    monkeypatch.setattr(
        "lilliput.search.survey.latency_table", lambda m, target, t: asked.append(target) or TABLE
    )
    model, task = image_classifier()
    store = Store(tmp_path)
    first, second = get_target("onnxruntime-cpu"), get_target("litert-cpu")
    for target in (first, first, second):
        assert _table(model, task, target, store) == TABLE
    assert asked == [first, second]


def test_only_what_is_missing_is_measured(tmp_path) -> None:
    model, task = image_classifier()
    groups = channel_groups(trace(model)).groups
    store = Store(tmp_path)
    _note_drops(model, task, groups[:1], None, store)
    before = dict(store.notes()["sensitivity"][groups[0].name])
    _note_drops(model, task, groups, None, store)
    assert set(store.notes()["sensitivity"]) == {g.name for g in groups}
    assert store.notes()["sensitivity"][groups[0].name] == before
