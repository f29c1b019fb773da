import pytest
import torch
from torch import nn

from lilliput.train import SGD, AdamW


@pytest.mark.parametrize("optimizer", [SGD(weight_decay=0.1), AdamW(weight_decay=0.1)])
def test_biases_and_norms_do_not_decay(optimizer: SGD | AdamW) -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    built = optimizer.build(net.parameters(), 0.1)
    decay = {id(p): g["weight_decay"] for g in built.param_groups for p in g["params"]}
    assert decay[id(net[0].weight)] == 0.1
    assert [decay[id(p)] for p in (net[0].bias, net[1].weight, net[1].bias)] == [0, 0, 0]


def test_all_decay_when_asked_for() -> None:
    built = SGD(weight_decay=0.1, decays_vectors=True).build(nn.Linear(2, 2).parameters(), 0.1)
    assert [group["weight_decay"] for group in built.param_groups] == [0.1]


def test_frozen_parameters_are_left_out() -> None:
    net = nn.Linear(2, 2)
    net.weight.requires_grad_(False)
    built = SGD().build(net.parameters(), 0.1)
    assert [p for group in built.param_groups for p in group["params"]] == [net.bias]


def test_a_step_of_sgd_is_the_formula() -> None:
    """Source: Sutskever et al. 2013; v = mu v + g, w = w - lr (g + mu v)."""
    weight = nn.Parameter(torch.tensor([[2.0]]))
    optimizer = SGD(momentum=0.9, weight_decay=0.1).build([weight], 0.5)
    expected, velocity = 2.0, 0.0
    for gradient in (1.0, -3.0):
        weight.grad = torch.tensor([[gradient]])
        optimizer.step()
        pull = gradient + 0.1 * expected
        velocity = 0.9 * velocity + pull
        expected -= 0.5 * (pull + 0.9 * velocity)
    assert weight.item() == pytest.approx(expected)


def test_refuses_settings_out_of_range() -> None:
    with pytest.raises(ValueError, match="momentum must be at least 0 and less than 1, got 1"):
        SGD(momentum=1.0)
    with pytest.raises(ValueError, match="weight_decay must be 0 or more, got -1"):
        AdamW(weight_decay=-1.0)
