import itertools

import pytest
import torch
from tests.graph.structures import ResNet

from lilliput.core import Model, run
from lilliput.graph import channel_groups, cost, trace
from lilliput.prune import PruneChannels, allot, bytes_of, macs_of
from lilliput.testing.nets import two_input_transformer

LEVELS = (0.25, 0.5, 0.75)


def test_prefers_what_costs_least_for_each_mac() -> None:
    drops = {
        "cheap": {level: 0.01 * level for level in LEVELS},
        "dear": {level: 0.2 * level for level in LEVELS},
    }
    weights = {"cheap": 40.0, "dear": 60.0}
    chosen = allot(drops, lambda r: 100 - sum(weights[n] * r[n] for n in r), 0.75)
    assert chosen == {"cheap": 0.75}


def test_is_near_the_best_of_all_choices() -> None:
    draw = torch.Generator().manual_seed(0)
    names = [f"g{i}" for i in range(4)]
    excess = []
    for _ in range(20):
        weights = dict(zip(names, torch.rand(4, generator=draw).tolist(), strict=True))
        rates = dict(zip(names, torch.rand(4, generator=draw).tolist(), strict=True))
        drops = {n: {x: rates[n] * x**2 for x in LEVELS} for n in names}

        def macs(ratios, weights=weights) -> float:
            return sum(w * (1 - ratios.get(n, 0.0)) for n, w in weights.items())

        chosen = allot(drops, macs, 0.6)
        assert macs(chosen) <= 0.6 * macs({})
        found = sum(drops[n][x] for n, x in chosen.items())
        best = min(
            sum(drops[n][x] for n, x in zip(names, choice, strict=True) if x)
            for choice in itertools.product((0.0, *LEVELS), repeat=4)
            if macs(dict(zip(names, choice, strict=True))) <= 0.6 * macs({})
        )
        excess.append(found / best)
    assert sum(excess) / len(excess) < 1.1
    assert max(excess) < 2


def test_takes_negative_drops_as_none() -> None:
    drops = {"a": {0.5: -0.02, 0.75: 0.0}, "b": {0.5: 0.1}}
    chosen = allot(drops, lambda r: 2 - r.get("a", 0.0) - r.get("b", 0.0), 0.7)
    assert chosen == {"a": 0.75}


def test_gives_the_most_where_the_target_is_out_of_reach() -> None:
    assert allot({"a": {0.5: 0.1, 0.95: 0.2}}, lambda r: 1 - r.get("a", 0.0), 0.1) == {"a": 0.5}


@pytest.mark.parametrize("target", [0.0, -1.0, 1.5])
def test_refuses_a_target_out_of_range(target: float) -> None:
    with pytest.raises(ValueError, match="target must be"):
        allot({}, lambda r: 1.0, target)


def test_predicts_the_macs_of_the_pruned_network() -> None:
    model = Model(ResNet(1, (8, 16, 32)).eval(), (torch.randn(2, 3, 16, 16),))
    graph = trace(model)
    found = channel_groups(graph)
    macs = macs_of(found, cost(graph))
    ratios = {"conv1": 0.5, "layer2.0.conv1": 0.25, "layer3.0.conv2": 0.5}
    small = PruneChannels(ratios)(model)
    measured = sum(layer.macs for layer in cost(trace(small)))
    assert macs(ratios) == pytest.approx(measured, rel=1e-6)
    assert macs({}) == pytest.approx(sum(layer.macs for layer in cost(graph)))


def test_predicts_the_bytes_of_the_pruned_network() -> None:
    model = Model(ResNet(1, (8, 16, 32)).eval(), (torch.randn(2, 3, 16, 16),))
    size = bytes_of(channel_groups(trace(model)))
    ratios = {"conv1": 0.5, "layer2.0.conv1": 0.25, "layer3.0.conv2": 0.5}
    small = PruneChannels(ratios)(model)
    assert size(ratios) == sum(4 * p.numel() for p in small.module.parameters())
    assert size({}) == sum(4 * p.numel() for p in model.module.parameters())


def test_heads_and_the_widths_within_them_multiply() -> None:
    model, _ = two_input_transformer()
    found = channel_groups(trace(model))
    heads = next(g for g in found if g.kind == "parts")
    within = next(g for g in found if g.kind == "channels" and g.axes & heads.axes)
    ratios = {heads.name: 0.5, within.name: 0.5}
    small = run(model, [PruneChannels(ratios)])
    left = sum(p.nbytes for p in small.module.parameters())
    assert bytes_of(found)(ratios) == pytest.approx(left)


def test_widths_are_multiples_within_the_heads_that_stay() -> None:
    model, _ = two_input_transformer()
    found = channel_groups(trace(model))
    heads = next(g for g in found if g.kind == "parts")
    within = next(g for g in found if g.kind == "channels" and g.axes & heads.axes)
    place = min(heads.axes & within.axes)
    small = run(model, [PruneChannels({heads.name: 0.5, within.name: 0.3}, multiple_of=2)])
    assert small.module.get_parameter(place[0]).shape[place[1]] % 2 == 0
