"""Layers of a class of one's own: replaced where they compute what PyTorch's class does."""

import pytest
import torch
from torch import Tensor, nn

from lilliput.core import Accuracy, Model, PassError, Task, run
from lilliput.edit import FactorizeLayers, SeparateConvolutions, ShrinkKernels, Svd
from lilliput.graph import cost, trace


class Padded(nn.Conv2d):
    """Pads one side more than the other first, as TensorFlow does."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(nn.functional.pad(x, (0, 1, 0, 1)))


class Named(nn.Conv2d):
    """Computes what its parent does, in words of its own."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.conv2d(x, self.weight, self.bias, self.stride, self.padding)


def net() -> Model:
    torch.manual_seed(0)
    layers = nn.Sequential(Padded(3, 12, 3), nn.ReLU(), Named(12, 12, 1), nn.ReLU())
    return Model(layers.eval(), (torch.randn(2, 3, 8, 8),))


def test_one_that_computes_the_same_is_replaced() -> None:
    model = net()
    small = run(model, [FactorizeLayers(0.5, Svd())])
    assert type(small.module[0]) is Padded
    assert [type(part) for part in small.module[2]] == [nn.Conv2d, nn.Conv2d]
    macs = [{row.name: row.macs for row in cost(trace(m))} for m in (model, small)]
    assert macs[1]["2.0"] + macs[1]["2.1"] <= macs[0]["2"] / 2
    whole = run(model, [FactorizeLayers(ranks={"2": 12}, kind=Svd())])
    torch.testing.assert_close(
        whole.module(*model.example_inputs),
        model.module(*model.example_inputs),
        rtol=1e-4,
        atol=1e-5,
    )


def test_one_that_computes_something_else_stays_and_is_refused_by_name() -> None:
    model = net()
    for pass_ in (SeparateConvolutions(), ShrinkKernels(1)):
        same = run(model, [pass_])
        assert type(same.module[0]) is Padded
        assert "so nothing changes" in str(same.notes[0])
    with pytest.raises(PassError, match="'0' is no convolution of one group"):
        run(model, [SeparateConvolutions(layers=("0",))])


class LookedInto(nn.Module):
    """Reads a layer's weight beside calling it, and gives another its input by name."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 16)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x) + nn.functional.linear(x, self.a.weight)
        return self.c(self.b(input=x).relu())


def test_a_layer_that_the_network_looks_into_stays_and_is_told() -> None:
    model = Model(LookedInto().eval(), (torch.randn(3, 16),))
    small = run(model, [FactorizeLayers(ranks={"a": 16, "b": 16, "c": 16})])
    assert any(str(note).startswith("a stays: ") for note in small.notes)
    torch.testing.assert_close(
        small.module(*model.example_inputs),
        model.module(*model.example_inputs),
        rtol=1e-4,
        atol=1e-5,
    )


def test_inputs_given_by_name_are_looked_at() -> None:
    x = torch.randn(64, 16)
    task = Task("copy", [(x, x)], [(x, x)], nn.functional.mse_loss, Accuracy())
    model = Model(LookedInto().eval(), (x[:3],))
    small = run(model, [FactorizeLayers(0.5, task=task, layers=("b",))])
    assert isinstance(small.module.b, nn.Sequential)
