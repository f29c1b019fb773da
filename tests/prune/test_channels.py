import pytest
import torch
from tests.graph.structures import Words
from torch import Tensor, nn

from lilliput.core import Model, run
from lilliput.graph import channel_groups, silence_channels, trace
from lilliput.prune import Magnitude, PruneChannels, silencer
from lilliput.testing import TINY_TASKS, PassContract


class TestPruneChannels(PassContract):
    @pytest.fixture
    def pass_(self) -> PruneChannels:
        return PruneChannels(0.4)


class Stream(nn.Module):
    """Two convolutions that write one residual stream, and two that are their own."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 24, 3, padding=1)
        self.inner = nn.Conv2d(24, 20, 3, padding=1)
        self.back = nn.Conv2d(20, 24, 3, padding=1)
        self.wide = nn.Conv2d(24, 32, 1)
        self.head = nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        x = x + self.back(self.inner(x).relu())
        return self.head(self.wide(x).relu().mean((2, 3)))


@pytest.fixture
def model() -> Model:
    torch.manual_seed(0)
    return Model(Stream(), (torch.randn(2, 3, 6, 6),))


def widths(model: Model) -> dict[str, int]:
    return {group.name: group.size for group in channel_groups(trace(model))}


def test_a_ratio_shrinks_every_group(model: Model) -> None:
    assert widths(model) == {"stem": 24, "inner": 20, "wide": 32}
    assert widths(PruneChannels(0.5)(model)) == {"stem": 12, "inner": 10, "wide": 16}


def test_a_mapping_shrinks_the_groups_it_names(model: Model) -> None:
    small = PruneChannels({"inner": 0.5})(model)
    assert widths(small) == {"stem": 24, "inner": 10, "wide": 32}


def test_kept_groups_stay(model: Model) -> None:
    small = PruneChannels(0.5, keep=("stem",))(model)
    assert widths(small) == {"stem": 24, "inner": 10, "wide": 16}


@pytest.mark.parametrize("multiple", [4, 8])
def test_widths_are_multiples(model: Model, multiple: int) -> None:
    for ratio in (0.1, 0.33, 0.6, 0.95):
        small = widths(PruneChannels(ratio, multiple_of=multiple)(model))
        assert all(size % multiple == 0 and size > 0 for size in small.values()), small


def test_the_smallest_units_go() -> None:
    net = nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 2))
    with torch.no_grad():
        net[0].weight[[1, 4]] *= 1e-3
        net[2].weight[:, [1, 4]] *= 1e-3
    small = PruneChannels(1 / 3)(Model(net, (torch.randn(2, 3),)))
    assert torch.equal(small.module[0].weight, net[0].weight[[0, 2, 3, 5]])
    assert torch.equal(small.module[2].weight, net[2].weight[:, [0, 2, 3, 5]])


def test_global_ranking_takes_from_the_group_that_has_least(model: Model) -> None:
    with torch.no_grad():
        model.module.wide.weight[:24] *= 1e-3
        model.module.head.weight[:, :24] *= 1e-3
    small = widths(PruneChannels(0.3, is_global=True)(model))
    assert small["wide"] < 16
    assert small["stem"] + small["inner"] > 35


def test_no_group_loses_all(model: Model) -> None:
    for is_global in (False, True):
        small = PruneChannels(0.999, is_global=is_global)(model)
        assert small.module(torch.randn(3, 3, 6, 6)).shape == (3, 4)


@pytest.mark.parametrize("ratio", [-0.1, 1.0, float("nan")])
def test_refuses_a_ratio_out_of_range(ratio: float) -> None:
    with pytest.raises(ValueError, match="at least 0 and below 1"):
        PruneChannels(ratio)


def test_names_the_nearest_group(model: Model) -> None:
    with pytest.raises(ValueError, match=r"'iner'.*'inner'"):
        PruneChannels({"iner": 0.5})(model)
    with pytest.raises(ValueError, match=r"'steem'.*'stem'"):
        PruneChannels(0.5, keep=("steem",))(model)


def test_a_pattern_means_the_groups_it_fits(model: Model) -> None:
    assert widths(PruneChannels({"*n*r": 0.5})(model)) == {"stem": 24, "inner": 10, "wide": 32}
    assert widths(PruneChannels({"*": 0.5, "wide": 0.25})(model)) == {
        "stem": 12,
        "inner": 10,
        "wide": 24,
    }
    # a name counts also where a pattern follows, and of patterns the last
    assert widths(PruneChannels({"wide": 0.25, "*": 0.75, "s*": 0.5})(model)) == {
        "stem": 12,
        "inner": 5,
        "wide": 24,
    }
    assert widths(PruneChannels(0.5, keep=("s*", "w*"))(model)) == {
        "stem": 24,
        "inner": 10,
        "wide": 32,
    }
    assert widths(PruneChannels({"*": 0.5}, keep=("stem",))(model))["stem"] == 24


def test_names_a_pattern_that_fits_nothing(model: Model) -> None:
    with pytest.raises(ValueError, match=r"'\*\.dense'; known: stem, inner, wide"):
        PruneChannels({"*.dense": 0.5})(model)
    with pytest.raises(ValueError, match=r"'x\*'"):
        PruneChannels(0.5, keep=("x*",))(model)


def test_a_pattern_means_widths_and_not_whole_heads() -> None:
    model, _ = TINY_TASKS["two_input_transformer"]()
    small = PruneChannels({"encoder.*": 0.5})(model)
    assert widths(small)["encoder.self_attn:parts"] == 2
    assert widths(small)["encoder.linear1"] == 16


@pytest.mark.parametrize(("ratio", "multiple", "left"), [(0.99, 1, 1), (0.99, 8, 8), (0.95, 4, 4)])
def test_says_what_stays_of_a_layer_that_would_go(
    model: Model, ratio: float, multiple: int, left: int
) -> None:
    small = run(model, [PruneChannels({"inner": 0.5, "wide": ratio}, multiple_of=multiple)])
    assert widths(small).get("wide", 1) == left
    texts = [str(note) for note in small.notes]
    assert texts == [f"'wide' keeps {left} of 32 units, since not all may go"]
    assert not any(note.is_fallback for note in small.notes)


def test_says_what_cannot_be_followed() -> None:
    class Sorted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.c(self.b(self.a(x).sort(-1).values).relu())

    model = Model(Sorted(), (torch.randn(2, 4),))
    small = run(model, [PruneChannels(0.5)])
    assert (small.module.a.out_features, small.module.b.out_features) == (6, 3)
    (note,) = small.notes
    assert str(note).startswith("channels at sort stay: ids cannot be followed")


def test_tied_weights_are_pruned_together() -> None:
    model = Model(Words().eval(), (torch.randint(0, 11, (2, 5)),))
    small = run(model, [PruneChannels(0.5)]).module
    assert small.head.weight is small.embed.weight
    assert small.embed.weight.shape == (11, 4)
    assert small(torch.randint(0, 11, (3, 7))).shape == (3, 7, 11)


class FixedBatch(nn.Module):
    """Its code knows that two examples come."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.head = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 6, 1), nn.Linear(24, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.b(self.a(x).relu()).reshape(2, 24))


class CountedBatch(nn.Module):
    """What it gives depends on how many examples come."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 8), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.a(x).relu()) * len(x) + torch.arange(x.shape[0])[:, None]


def test_a_network_for_a_fixed_batch_is_pruned() -> None:
    model = Model(FixedBatch(), (torch.randn(2, 3, 4, 4),))
    found = channel_groups(trace(model))
    chosen = PruneChannels({"a": 0.5, "b": 0.5})
    scores = Magnitude()(model, found.groups)
    drop = {g.name: scores[g.name].argsort()[: g.size // 2].tolist() for g in found}
    x = torch.randn(2, 3, 4, 4)
    silent = silence_channels(model, drop, found).module(x)
    torch.testing.assert_close(run(model, [chosen]).module(x), silent)


def test_a_network_that_counts_its_batch_still_does() -> None:
    model = Model(CountedBatch(), (torch.randn(2, 3),))
    small = run(model, [PruneChannels({"a": 0.5})])
    silent = silencer(model)(model, "a", 0.5)
    for count in (1, 5):
        x = torch.randn(count, 3)
        torch.testing.assert_close(small.module(x), silent.module(x))


def test_silencing_equals_removing(model: Model) -> None:
    perturb = silencer(model, Magnitude())
    x = torch.randn(3, 3, 6, 6)
    for name in widths(model):
        silent, small = perturb(model, name, 0.5), PruneChannels({name: 0.5})(model)
        torch.testing.assert_close(silent.module(x), small.module(x))


def test_prunes_again_what_it_pruned(model: Model) -> None:
    twice = PruneChannels(0.5)(PruneChannels(0.5)(model))
    assert widths(twice) == {"stem": 6, "inner": 5, "wide": 8}


@pytest.mark.parametrize("tiny", list(TINY_TASKS))
def test_finds_groups_in_every_tiny_network(tiny: str) -> None:
    model, _ = TINY_TASKS[tiny]()
    found = channel_groups(trace(model))
    assert found.groups
    assert not found.skipped
