"""From an operator of a captured graph to the module that computes it in integers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx import Node

from lilliput.export.integers import Integers
from lilliput.quantize.numbers.fake import FakeQuantize
from lilliput.quantize.placing.open_layers import WITH_WEIGHT, operator_kind
from lilliput.quantize.placing.plan import keeps_values
from lilliput.simulate.arithmetic import Arithmetic
from lilliput.simulate.exact import Sums
from lilliput.simulate.grid import Grid
from lilliput.simulate.modules import AveragePool, Binary, Join, Mean, Rescale, Shift, Weighted

__all__ = ["Builder", "Built"]

_POOLS = frozenset({"avg_pool1d", "avg_pool2d"})
_MEANS = frozenset({"mean", "adaptive_avg_pool1d", "adaptive_avg_pool2d"})


@dataclass(frozen=True, eq=False)
class Built:
    """A module, and where it goes.

    Args:
        module: Computes an operator.
        inputs: The nodes it reads.
        replaced: The nodes whose tensor it gives.
    """

    module: nn.Module
    inputs: tuple[Node, ...]
    replaced: tuple[Node, ...]


@dataclass(frozen=True, eq=False)
class Builder:
    """Knows where a network's integers are.

    Args:
        integers: Of the network, by the rules of its runtime.
        arithmetic: The runtime's.
    """

    integers: Integers
    arithmetic: Arithmetic

    @property
    def module(self) -> fx.GraphModule:
        return self.integers.module

    def build(self, node: Node) -> Built | None:
        """The module for an operator; None where the runtime computes it in floats."""
        kind = operator_kind(self.module, node)
        if kind == "linear" and self._gives_floats(node):
            floats = self._weighted(node, kind, None)
            return None if floats is None else Built(floats, (_node(node.args[0]),), (node,))
        if not self.integers.runs(node):
            return None
        result = self.integers.result(node)
        replaced = tuple(self.integers.readers(result))
        output = self._output(node, result, replaced)
        operands = tuple(_operands(node, kind))
        if output is None or not all(self._is_whole(x) for x in operands):
            return None
        module = self._module(node, kind, operands, output)
        return None if module is None else Built(module, operands, replaced)

    def rescale(self, node: Node) -> Built | None:
        """The module for a quantizer that reads another's integers."""
        source = _node(node.args[0])
        output = self._grid(node)
        if not self.integers.gives(source) or not (self._is_whole(source) and _is_whole(output)):
            return None
        grid = self._grid(source)
        if grid == output:
            return None
        return Built(Rescale(self.arithmetic, grid, output), (source,), (node,))

    def _module(
        self, node: Node, kind: str, operands: Sequence[Node], output: Grid
    ) -> nn.Module | None:
        grids = [self._grid(operand) for operand in operands]
        if kind in WITH_WEIGHT:
            return self._weighted(node, kind, output)
        if kind in {"add", "mul"}:
            combine = self.arithmetic.add if kind == "add" else self.arithmetic.multiply
            return Binary(combine, (grids[0], grids[1]), output)
        if kind == "cat":
            axis = int(_argument(node, 1, "dim", 0))
            return Join(self.arithmetic, axis, grids, output)
        if kind in _MEANS:
            return self._mean(node, kind, grids[0], output)
        if kind in _POOLS and keeps_values(node, kind):
            axes = 1 if kind == "avg_pool1d" else 2
            return AveragePool(self.arithmetic, _window(node, axes), grids[0], output)
        return None

    def _mean(self, node: Node, kind: str, grid: Grid, output: Grid) -> Mean | None:
        if kind == "mean":
            axes = _argument(node, 1, "dim", ())
            axes = (axes,) if isinstance(axes, int) else tuple(axes or ())
            keeps = bool(_argument(node, 2, "keepdim", False))
            return Mean(self.arithmetic, axes, keeps, grid, output)
        sizes = node.args[1]
        count = 1 if kind == "adaptive_avg_pool1d" else 2
        if sizes not in (1, [1] * count, (1,) * count):
            return None
        return Mean(self.arithmetic, (-2, -1)[2 - count :], True, grid, output)

    def _weighted(self, node: Node, kind: str, output: Grid | None) -> nn.Module | None:
        weight, source = _node(node.args[1]), _node(node.args[0])
        quantizer = self._quantizer(weight)
        if quantizer.group_size or not self._is_whole(source):
            return None
        values = quantizer(_parameter(self.module, weight.args[0])).detach()
        grid = self._grid(source)
        codes = (values / quantizer.spread(quantizer.scale, values)).round()
        axis = -1 if kind == "linear" else 1
        scale = quantizer.scale.detach().float().clone()
        bias = node.args[2] if len(node.args) > 2 else None
        value = None if bias is None else _parameter(self.module, bias)
        rounded = None
        if value is not None and (output is not None or not _is_wide(node)):
            rounded = self.arithmetic.bias(value, grid.scale, scale)
        shape = [-1] if axis == -1 else [-1, *[1] * (values.dim() - 2)]
        sums = Sums(
            _operator(node),
            codes,
            None if rounded is None else rounded.view(shape),
            max(grid.zero_point - grid.least, grid.most - grid.zero_point),
            1 if kind == "conv_transpose2d" else 0,
        )
        weighted = Weighted(self.arithmetic, sums, grid, scale.view(shape), output)
        if value is None or rounded is not None:
            return weighted
        return nn.Sequential(weighted, Shift(value))

    def _gives_floats(self, node: Node) -> bool:
        """Whether a linear operator reads integers and leaves floats."""
        if not self.arithmetic.gives_floats:
            return False
        reads = all(self.integers.gives(_node(operand)) for operand in node.args[:2])
        readers = self.integers.readers(self.integers.result(node))
        is_quantized = any(self.integers.is_quantizer(reader) for reader in readers)
        adds_floats = _is_wide(node) and len(node.args) > 2 and node.args[2] is not None
        return reads and (adds_floats or not is_quantized)

    def _output(self, node: Node, result: Node, readers: Sequence[Node]) -> Grid | None:
        """The grid of a result, clipped as the activation says; None where it has no one grid."""
        if len({reader.target for reader in readers}) != 1:
            return None
        grid = self._grid(readers[0])
        if not _is_whole(grid):
            return None
        if result is node:
            return grid
        clipped = grid.clipped(*_limits(operator_kind(self.module, result), result))
        return clipped if self.arithmetic.clips or clipped == grid else None

    def _quantizer(self, node: Node) -> FakeQuantize:
        while not self.integers.is_quantizer(node):
            node = node.all_input_nodes[0]
        quantizer = self.module.get_submodule(str(node.target))
        assert isinstance(quantizer, FakeQuantize)  # noqa: S101
        return quantizer

    def _grid(self, node: Node) -> Grid:
        return Grid.of(self._quantizer(node))

    def _is_whole(self, node: Node) -> bool:
        return _is_whole(self._grid(node))


def _is_whole(grid: Grid) -> bool:
    """Whether it uses all codes of a byte: of fewer bits, runtimes clip in floats."""
    return grid.most - grid.least == 255


def _is_wide(node: Node) -> bool:
    """Whether a linear operator has more than two axes."""
    return bool(node.meta["val"].dim() > 2)


def _node(argument: Any) -> Node:
    assert isinstance(argument, Node)  # noqa: S101
    return argument


def _parameter(module: fx.GraphModule, argument: Any) -> Tensor:
    node = _node(argument)
    assert node.op == "get_attr"  # noqa: S101  so the inserter leaves weights, and layers biases
    owner, _, leaf = str(node.target).rpartition(".")
    value = getattr(module.get_submodule(owner), leaf)
    assert isinstance(value, Tensor)  # noqa: S101
    return value.detach()


def _operator(node: Node) -> Callable[[Tensor, Tensor], Tensor]:
    """The operator without bias, and with its stride, padding and so on."""
    target, rest = node.target, node.args[3:]
    assert callable(target)  # noqa: S101
    return lambda codes, weight: target(codes, weight, None, *rest)


def _argument(node: Node, place: int, name: str, default: Any) -> Any:
    return node.args[place] if len(node.args) > place else node.kwargs.get(name, default)


def _operands(node: Node, kind: str) -> Sequence[Node]:
    """The activations that an operator reads."""
    if kind == "cat":
        tensors = node.args[0]
        assert isinstance(tensors, list | tuple)  # noqa: S101
        return [_node(tensor) for tensor in tensors]
    return [_node(operand) for operand in node.args[: 2 if kind in {"add", "mul"} else 1]]


def _limits(kind: str, node: Node) -> tuple[float, float]:
    """What an activation clips to."""
    if kind == "relu":
        return 0.0, torch.inf
    if kind == "relu6":
        return 0.0, 6.0
    return float(_argument(node, 1, "min_val", -1.0)), float(_argument(node, 2, "max_val", 1.0))


def _window(node: Node, axes: int) -> tuple[list[int], list[int], list[int]]:
    """Kernel, stride and padding of a pool."""
    kernel = _sizes(_argument(node, 1, "kernel_size", None), axes)
    stride = _argument(node, 2, "stride", None)
    padding = _sizes(_argument(node, 3, "padding", 0), axes)
    return kernel, _sizes(stride, axes) if stride else kernel, padding


def _sizes(value: Any, axes: int) -> list[int]:
    values = list(value) if isinstance(value, list | tuple) else [value]
    return values * axes if len(values) == 1 else values
