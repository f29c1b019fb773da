"""Convolutions with a kernel of 1 that stand, with norm and activation, before global pooling."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor, fx, nn

from lilliput.graph import operator_of, shape_of

__all__ = ["Tail", "tails"]

_ACTIVATIONS = frozenset(
    (
        "relu",
        "relu6",
        "hardtanh",
        "hardswish",
        "hardsigmoid",
        "silu",
        "gelu",
        "elu",
        "leaky_relu",
        "sigmoid",
        "tanh",
        "mish",
        "softplus",
        "dropout",
    )
)


@dataclass(frozen=True, eq=False)
class Tail:
    """A convolution, what follows it position by position, and the pool after that."""

    module: fx.GraphModule
    name: str
    convolution: fx.Node
    steps: tuple[fx.Node, ...]
    pool: fx.Node

    @property
    def layer(self) -> nn.Conv2d:
        """The convolution."""
        layer = self.module.get_submodule(self.name)
        assert isinstance(layer, nn.Conv2d)  # noqa: S101  as it was found
        return layer

    @property
    def shift(self) -> list[nn.Parameter]:
        """The bias of the norm, or else of the convolution, if there is one."""
        norms = [self.module.get_submodule(str(s.target)) for s in self.steps if _is_call(s)]
        biases = [part.bias for part in (*norms, self.layer) if part.bias is not None]
        return [bias for bias in biases[:1] if isinstance(bias, nn.Parameter)]

    def after(self, x: Tensor) -> Tensor:
        """What follows the convolution, without the pool."""
        for step in self.steps:
            if _is_call(step):
                x = self.module.get_submodule(str(step.target))(x)
            else:
                call: Any = step.target
                x = call(x, *step.args[1:], **step.kwargs)
        return x


def tails(module: fx.GraphModule) -> Iterator[Tail]:
    """Those of a captured network, whose layers run once."""
    calls = [str(node.target) for node in module.graph.nodes if _is_call(node)]
    for node in module.graph.nodes:
        if not _is_call(node) or not _is_pointwise(module.get_submodule(str(node.target))):
            continue
        steps: list[fx.Node] = []
        here = node
        while len(here.users) == 1:
            (here,) = here.users
            if _is_global_pool(here):
                own = [str(n.target) for n in (node, *steps) if _is_call(n)]
                if all(calls.count(name) == 1 for name in own):
                    yield Tail(module, str(node.target), node, tuple(steps), here)
                break
            if not _is_step(module, here):
                break
            steps.append(here)


def _is_call(node: fx.Node) -> bool:
    return node.op == "call_module"


def _is_pointwise(layer: nn.Module) -> bool:
    if not isinstance(layer, nn.Conv2d):
        return False
    is_still = layer.stride == (1, 1) and layer.padding in ((0, 0), "valid", "same")
    return layer.kernel_size == (1, 1) and is_still


def _is_step(module: fx.GraphModule, node: fx.Node) -> bool:
    if _is_call(node):
        return type(module.get_submodule(str(node.target))) in (nn.BatchNorm2d, nn.Dropout)
    return operator_of(node) in _ACTIVATIONS and len(node.all_input_nodes) == 1


def _is_global_pool(node: fx.Node) -> bool:
    sizes = shape_of(node.all_input_nodes[0]) if node.all_input_nodes else ()
    if len(sizes) != 4:
        return False
    match operator_of(node):
        case "adaptive_avg_pool2d":
            return shape_of(node)[2:] == (1, 1)
        case "avg_pool2d":
            kernel: Any = node.args[1]
            return tuple(kernel) == sizes[2:]
        case "mean":
            axes: Any = node.args[1] if len(node.args) > 1 else ()
            return sorted(axis % 4 for axis in axes or ()) == [2, 3]
    return False
