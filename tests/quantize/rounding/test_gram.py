"""Sums of products against the operators themselves."""

import pytest
import torch
from torch import Tensor, nn

from lilliput.core import Model, Task, run
from lilliput.core.accuracy import Accuracy
from lilliput.graph import columns, columns_at, filters
from lilliput.graph.columns import geometry_of
from lilliput.quantize import QuantizeStatic
from lilliput.quantize.beside.lockstep import Lockstep, Place
from lilliput.quantize.rounding.gram import gram_of, groups_of, is_linear
from lilliput.targets import get_target

LAYERS = {
    "plain": (nn.Conv2d(3, 6, 3), (4, 3, 9, 8)),
    "padded and strided": (nn.Conv2d(3, 6, 3, stride=2, padding=1), (4, 3, 9, 8)),
    "uneven": (nn.Conv2d(2, 4, (1, 3), stride=(2, 1), padding=(0, 1)), (4, 2, 7, 8)),
    "dilated": (nn.Conv2d(3, 5, 3, dilation=2, padding=2), (2, 3, 9, 9)),
    "grouped": (nn.Conv2d(6, 9, 3, groups=3), (2, 6, 6, 6)),
    "depthwise": (nn.Conv2d(5, 5, 3, groups=5, padding=1), (2, 5, 6, 6)),
    "same": (nn.Conv2d(3, 4, 4, padding="same"), (2, 3, 7, 7)),
    "one axis": (nn.Conv1d(3, 6, 5, stride=2, padding=2, dilation=1), (4, 3, 20)),
    "one axis in groups": (nn.Conv1d(4, 6, 3, groups=2, dilation=2), (4, 4, 20)),
    "linear": (nn.Linear(7, 3), (5, 7)),
    "linear on tokens": (nn.Linear(7, 3), (5, 4, 7)),
}


def place_of(layer: nn.Module, shape: tuple[int, ...]) -> Place:
    x = torch.randn(shape)
    task = Task("toy", [(x, x)], [(x, x)], lambda y, _: y.square().mean(), Accuracy())
    model = Model(nn.Sequential(layer).eval(), (x,))
    quantized = run(model, [QuantizeStatic(get_target("onnxruntime-cpu").rules, task)])
    (place,) = Lockstep(quantized.module, [(x,)]).walk()
    return place


@pytest.mark.parametrize("name", LAYERS)
def test_filters_times_columns_is_the_layer(name: str) -> None:
    layer, shape = LAYERS[name]
    place = place_of(layer, shape)
    assert is_linear(place)
    groups = groups_of(place.node, place.weight)
    geometry = geometry_of(layer)
    product = filters(place.weight_float, groups) @ columns(place.read_float[0], geometry)
    flat = product.flatten(0, 1) + place.bias_float[:, None]
    wanted = place.wanted[0]
    by_channel = wanted.movedim(-1 if isinstance(layer, nn.Linear) else 1, 0).flatten(1)
    torch.testing.assert_close(flat, by_channel, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("has_bias", [False, True])
def test_the_error_of_other_weights_follows_from_the_sums(has_bias: bool) -> None:
    layer, shape = LAYERS["grouped"]
    place = place_of(layer, shape)
    gram = gram_of(place, has_bias)
    float_, other = filters(place.weight_float, 3), torch.randn(3, 3, 18)
    geometry = geometry_of(layer)
    z, x = (columns(r[0], geometry) for r in (place.read, place.read_float))
    difference = other @ z - float_ @ x
    if has_bias:
        difference = difference - difference.mean(-1, keepdim=True)
        x = x - x.mean(-1, keepdim=True)
    direct = difference.square().sum(1).mean(-1)

    def traced(left: Tensor, matrix: Tensor, right: Tensor) -> Tensor:
        return ((left @ matrix) * right).sum((1, 2))

    from_sums = (
        traced(other, gram.read, other)
        - 2 * traced(float_, gram.both, other)
        + (float_ @ x).square().sum(1).mean(-1)
    )
    torch.testing.assert_close(from_sums, direct, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("name", LAYERS)
def test_drawn_positions_are_columns_of_all(name: str) -> None:
    layer, shape = LAYERS[name]
    geometry = geometry_of(layer)
    x = torch.randn(shape)
    whole = columns(x, geometry).mT
    drawn = columns_at(x, geometry, 10_000, torch.Generator().manual_seed(0)).mT
    assert drawn.shape == whole.shape
    # a permutation: the same sums of products
    torch.testing.assert_close(drawn.mT @ drawn, whole.mT @ whole)
    few = columns_at(x, geometry, 1, torch.Generator().manual_seed(0)).mT
    assert 0 < few.shape[1] <= len(x)
    for group, part in zip(few, whole, strict=True):
        assert bool((group[:, None] == part).all(2).any(1).all())
