import pytest
import torch
from torch import nn

from lilliput.train.average import Average


def test_moves_as_the_formula_says() -> None:
    net = nn.Linear(1, 1, bias=False)
    nn.init.constant_(net.weight, 3.0)
    average = Average(net, decay=0.4)
    expected = 3.0
    for step, value in enumerate([1.0, 5.0, -2.0, 4.0, 0.5]):
        nn.init.constant_(net.weight, value)
        average.update(net, step)
        decay = min(0.4, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
    average.copy_to(net)
    assert net.weight.item() == pytest.approx(expected)


def test_a_constant_stays_what_it_is_to_the_last_bit() -> None:
    net = nn.BatchNorm1d(3)
    net.running_var.copy_(torch.tensor([0.1, 1 / 3, 7e-5]))
    before = net.running_var.clone()
    average = Average(net, decay=0.9)
    for step in range(20):
        average.update(net, step)
    average.copy_to(net)
    assert torch.equal(net.running_var, before)


def test_buffers_that_may_belong_together_are_copied_together() -> None:
    net = nn.Linear(1, 1)
    net.register_buffer("scale", torch.tensor(1.0))
    net.register_buffer("zero_point", torch.tensor(3))
    average = Average(net, decay=0.9)
    net.scale.fill_(2.0)
    net.zero_point.fill_(4)
    average.update(net, 0)
    assert (average.values["scale"], average.values["zero_point"]) == (2, 4)


def test_counts_are_copied() -> None:
    net = nn.BatchNorm1d(3)
    average = Average(net, decay=0.9)
    net.num_batches_tracked.fill_(7)
    average.update(net, 0)
    assert average.values["num_batches_tracked"] == 7
