import pytest
import torch
from torch import Tensor, nn

from lilliput.core import Model
from lilliput.graph import capture, operator_of


class InPlace(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.shortcut = (nn.Conv2d(3, 3, 1) for _ in range(3))
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        out = self.second(self.act(self.first(x)))
        out += self.shortcut(x)
        return self.act(out).mul_(2)


class ThroughView(nn.Module):
    """The write shows in what was viewed, which is read afterwards."""

    def forward(self, x: Tensor) -> Tensor:
        y = x * 2
        z = y[:, :1].relu_()
        return y + z


class WithoutResult(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y = x * 2
        y[:, :1].add_(1)
        return y


def kinds(net: nn.Module) -> tuple[list[str], Model, Tensor]:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 4, 4)
    captured = capture(Model(net.eval(), (x,)))
    graph = captured.module.graph
    return [operator_of(n) for n in graph.nodes if n.op == "call_function"], captured, x


def test_nothing_is_written_into_what_is_kept() -> None:
    net = InPlace()
    names, captured, x = kinds(net)
    assert not [name for name in names if name.endswith("_")]
    assert {"relu", "add", "mul"} <= set(names)
    with torch.no_grad():
        torch.testing.assert_close(captured.module(x), net(x.clone()))


@pytest.mark.parametrize("net", [ThroughView(), WithoutResult()])
def test_writes_through_views_stay_right(net: nn.Module) -> None:
    _, captured, x = kinds(net)
    torch.testing.assert_close(captured.module(x.clone()), net(x.clone()))
