"""Importances that look at a unit's own filters."""

import pytest
import torch
from tests.graph.structures import Bottleneck, Words, build
from torch import nn

from lilliput.core import Model
from lilliput.graph import channel_groups, trace
from lilliput.prune import FilterNorm, GeometricMedian
from lilliput.prune.importance.filters import filters_of


def groups_of(model: Model):
    return channel_groups(trace(model))


@pytest.fixture
def shortcut() -> Model:
    """Two convolutions make the channels of a residual sum."""
    torch.manual_seed(0)
    return Model(Bottleneck().eval(), (torch.randn(2, 3, 8, 8),))


def named(x: torch.Tensor) -> torch.Tensor:
    return (x / x.mean()).detach()


@pytest.mark.parametrize("p", [1.0, 2.0])
def test_filter_norm_is_the_norm_of_the_named_layers_filters(shortcut: Model, p: float) -> None:
    scores = FilterNorm(p)(shortcut, groups_of(shortcut).groups)
    net = shortcut.module
    for name, weight in {"a.0": net.a[0].weight, "short": net.short.weight}.items():
        torch.testing.assert_close(scores[name], named(weight.flatten(1).norm(p, dim=1)))


def test_geometric_median_is_the_sum_of_distances(shortcut: Model) -> None:
    scores = GeometricMedian()(shortcut, groups_of(shortcut).groups)
    net = shortcut.module
    both = torch.cat([net.short.weight.flatten(1), net.c[0].weight.flatten(1)], 1)
    expected = torch.stack([sum((a - b).norm() for b in both) for a in both])
    torch.testing.assert_close(scores["short"], named(expected))


def test_geometric_median_ranks_a_copy_below_what_stands_alone() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    filters = [[1.0, 0, 0], [0.9, 0, 0], [1.1, 0, 0], [-3.0, 0, 0]]
    net[0].weight.data = torch.tensor(filters)
    model = Model(net, (torch.randn(2, 3),))
    scores = GeometricMedian()(model, groups_of(model).groups)["0"]
    assert scores.argmin() == 0
    assert scores.argmax() == 3


def test_filters_of_a_transposed_convolution_lie_along_its_second_axis() -> None:
    net = nn.Sequential(nn.ConvTranspose2d(3, 5, 2), nn.ReLU(), nn.Conv2d(5, 2, 1))
    model = Model(net, (torch.randn(1, 3, 4, 4),))
    scores = FilterNorm()(model, groups_of(model).groups)["0"]
    torch.testing.assert_close(scores, named(net[0].weight.transpose(0, 1).flatten(1).norm(dim=1)))


def test_filters_of_an_embedding_are_its_columns_also_where_it_is_tied() -> None:
    model = Model(Words().eval(), (torch.randint(0, 11, (2, 5)),))
    (group,) = [
        g for g in groups_of(model) if g.size == 8 and any("mix.bias" in t for t, _ in g.axes)
    ]
    filters = filters_of(model, group)
    assert len(filters) == 2
    torch.testing.assert_close(filters["mix.weight"], model.module.mix.weight.detach())
    (table,) = [rows for name, rows in filters.items() if name != "mix.weight"]
    torch.testing.assert_close(table, model.module.embed.weight.detach().T)


@pytest.mark.parametrize(
    "name", ["grouped", "parameters", "masked", "channel shuffle", "depthwise"]
)
def test_every_structure_has_filters_for_every_unit(name: str) -> None:
    net, inputs = build(name)
    model = Model(net, inputs)
    groups = groups_of(model).groups
    for importance in (FilterNorm(), GeometricMedian()):
        scores = importance(model, groups)
        assert all(scores[g.name].shape == (g.size,) for g in groups)
        assert all(float(scores[g.name].min()) > 0 for g in groups)
