import pytest
import torch
from torch import nn
from torch.nn import functional

from lilliput.core import Model, PassError
from lilliput.train import Hint
from lilliput.train.hints import HintedStudent, Projection, features_of, hint_loss, shapes_of


def net(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, 2, 1))


def test_a_projection_along_channels_is_a_1x1_convolution() -> None:
    x = torch.randn(2, 3, 5, 5)
    projection = Projection(1, 3, 7)
    expected = functional.conv2d(x, projection.linear.weight[:, :, None, None])
    torch.testing.assert_close(projection(x), expected)


def test_reads_the_named_layers_and_leaves_no_hooks() -> None:
    module, x = net(4), torch.randn(2, 1, 5, 5)
    outputs, (first, second) = features_of(module, ["0", "1"], (x,))
    assert torch.equal(first, module[0](x))
    assert torch.equal(second, module[0](x).relu())
    assert torch.equal(outputs, module(x))
    assert not any(layer._forward_hooks for layer in module)


def test_equal_widths_need_no_projection() -> None:
    student, teacher = net(4), net(4)
    model = Model(student, (torch.randn(2, 1, 5, 5),))
    hinted = HintedStudent(student, [Hint("0")], shapes_of(model, teacher, [Hint("0")]))
    assert [type(p) for p in hinted.projections] == [nn.Identity]


def test_the_loss_is_the_weighted_mean_squared_error() -> None:
    ours, theirs = [torch.ones(2, 3), torch.zeros(4)], [torch.zeros(2, 3), torch.full((4,), 2.0)]
    hints = [Hint("a", weight=0.5), Hint("b", weight=3.0)]
    assert hint_loss(hints, ours, theirs).item() == 0.5 * 1 + 3 * 4


def test_a_layer_that_does_not_exist_is_named() -> None:
    with pytest.raises(PassError, match=r"Sequential has no layer 'layer9'; it has .*0, 1, 2"):
        features_of(net(4), ["layer9"], (torch.randn(1, 1, 5, 5),))


def test_a_layer_that_does_not_run_is_named() -> None:
    module = net(4)
    module[1].add_module("idle", nn.ReLU())
    with pytest.raises(PassError, match=r"layer '1\.idle' of Sequential gave no tensor"):
        features_of(module, ["1.idle"], (torch.randn(1, 1, 5, 5),))


def test_layers_that_differ_in_two_axes_are_refused() -> None:
    student = nn.Sequential(nn.Conv2d(1, 4, 3, stride=2))
    model = Model(student, (torch.randn(2, 1, 5, 5),))
    with pytest.raises(PassError, match=r"gives \[2, 4, 2, 2\].*\[2, 8, 5, 5\].*one axis only"):
        HintedStudent(student, [Hint("0")], shapes_of(model, net(8), [Hint("0")]))
