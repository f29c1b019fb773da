"""Blocks found in networks whose blocks are known."""

import pytest
import torch
from torch import Tensor, nn

from lilliput.core import Model
from lilliput.graph import capture
from lilliput.quantize.beside.replay import constants
from lilliput.quantize.placing.open_layers import WITH_WEIGHT, operator_kind
from lilliput.quantize.rounding.units import Unit, find_units, in_order


class Residual(nn.Module):
    def __init__(self, inside: nn.Module) -> None:
        super().__init__()
        self.inside = inside

    def forward(self, x: Tensor) -> Tensor:
        return (x + self.inside(x)).relu()


class Scaled(nn.Module):
    """A branch that scales what it reads, as squeeze and excitation does."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(4, 2, 1), nn.Conv2d(2, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.up(self.down(x.mean((2, 3), keepdim=True)).relu()).sigmoid()


class Unet(nn.Module):
    """A shortcut over everything, with a residual block below it."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(4, 4, 3, 2, 1), nn.ConvTranspose2d(4, 4, 2, 2)
        self.block = Residual(nn.Sequential(conv(), nn.ReLU(), conv()))
        self.last = nn.Conv2d(8, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.cat([x, self.up(self.block(self.down(x).relu()))], 1))


def conv() -> nn.Module:
    return nn.Conv2d(4, 4, 3, padding=1)


def found(net: nn.Module, most_layers: int = 6) -> tuple[list[Unit], list[list[str]]]:
    module = capture(Model(net.eval(), (torch.randn(2, 4, 8, 8),))).module
    layers = [n for n in module.graph.nodes if operator_kind(module, n) in WITH_WEIGHT]
    units = find_units(module.graph, layers, constants(module), most_layers)
    assert sorted(n.name for unit in units for n in unit.layers) == sorted(n.name for n in layers)
    assert len({n for unit in units for n in unit.nodes}) == sum(len(u.nodes) for u in units)
    names = [[str(node.target) for node in unit.layers] for unit in units]
    return units, names


def test_residual_blocks_with_their_last_activation() -> None:
    net = nn.Sequential(
        conv(), nn.ReLU(), Residual(nn.Sequential(conv(), nn.ReLU(), conv())), Residual(conv())
    )
    units, names = found(net)
    assert names == [["0"], ["2.inside.0", "2.inside.2"], ["3.inside"]]
    assert all("relu" in unit.exit.name or unit.exit.name == "_1" for unit in units)
    assert [len(unit.reads) for unit in units] == [1, 1, 1]
    assert units[1].reads == (units[0].exit,)


def test_a_block_in_a_block_is_one_with_it() -> None:
    inside = nn.Sequential(conv(), nn.ReLU(), Scaled(), conv())
    _, names = found(nn.Sequential(conv(), Residual(inside)))
    assert names == [["0"], [f"1.inside.{x}" for x in ("0", "2.down", "2.up", "3")]]


def test_a_block_with_too_many_layers_is_taken_apart() -> None:
    inside = nn.Sequential(conv(), nn.ReLU(), Scaled(), conv())
    _, names = found(nn.Sequential(conv(), Residual(inside)), most_layers=3)
    assert names == [["0"], ["1.inside.0"], ["1.inside.2.down", "1.inside.2.up"], ["1.inside.3"]]


def test_a_shortcut_over_everything_hides_no_block() -> None:
    _, names = found(Unet(), most_layers=3)
    assert names == [["down"], ["block.inside.0", "block.inside.2"], ["up"], ["last"]]


@pytest.mark.parametrize(("most_layers", "sizes"), [(1, [1] * 5), (4, [2, 2, 1]), (6, [3, 2])])
def test_layers_in_a_row_are_joined(most_layers: int, sizes: list[int]) -> None:
    net = nn.Sequential(*(part for _ in range(5) for part in (conv(), nn.ReLU())))
    _, names = found(net, most_layers)
    assert [len(layers) for layers in names] == sizes


def test_units_and_what_is_between_them_run_in_order() -> None:
    units, _ = found(Unet(), most_layers=3)
    graph = units[0].exit.graph
    done: set = set()
    for before, unit in in_order(graph, units):
        for node in (*before, *unit.nodes):
            assert done.issuperset(node.all_input_nodes)
            done.add(node)
    assert {node for node in graph.nodes if node.op != "output"} >= done


def test_a_unit_does_not_end_in_a_list() -> None:
    class Split(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = conv(), nn.Conv2d(2, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            left, right = self.first(x).chunk(2, 1)
            return torch.cat([left, self.second(right)], 1)

    units, names = found(Split())
    assert names == [["first"], ["second"]]
    assert all(isinstance(unit.exit.meta["val"], Tensor) for unit in units)
