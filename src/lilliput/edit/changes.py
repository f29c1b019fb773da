"""How a call of a convolution, pool or slice changes, and the change itself."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import fx, nn

from lilliput.core import Model, UnsupportedError
from lilliput.graph import Graph, operator_of, owner_of
from lilliput.graph.capture import as_module, is_captured
from lilliput.graph.flow import arguments_of

__all__ = ["Change", "changed"]

Pair = tuple[int, int]

_TYPES = {"conv2d": nn.Conv2d, "max_pool2d": nn.MaxPool2d, "avg_pool2d": nn.AvgPool2d}


@dataclass(frozen=True)
class Change:
    """New arguments of a call; None where one stays.

    Args:
        stride: Of a convolution or pool.
        padding: Of a convolution or pool.
        dilation: Of a convolution or pool.
        step: Of a slice.
        is_whole: An average is taken over the whole map, whatever its size.
    """

    stride: Pair | None = None
    padding: Pair | None = None
    dilation: Pair | None = None
    step: int | None = None
    is_whole: bool = False

    @property
    def settings(self) -> dict[str, Any]:
        """What changes, by the names that PyTorch has for it."""
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        del named["is_whole"]
        return {name: value for name, value in named.items() if value is not None}


def changed(graph: Graph, changes: Mapping[fx.Node, Change]) -> Model:
    """The model whose calls have these arguments.

    It keeps its class where its layers alone have to know; else it becomes a captured graph.

    Raises:
        UnsupportedError: A layer runs twice and would have to run in two ways.
    """
    module = graph.model.module
    layers = dict(module.named_modules())
    _check_alike(graph, changes)
    owned = {node: layers.get(owner_of(node)) for node in changes}
    is_plain = all(type(owned[node]) is _TYPES.get(operator_of(node)) for node in changes)
    if is_plain and not is_captured(module) and not any(c.is_whole for c in changes.values()):
        model = graph.model.clone()
        for node, change in changes.items():
            _tell(model.module.get_submodule(owner_of(node)), change)
        return model
    captured = as_module(graph)
    calls = {node.name: node for node in captured.graph.nodes}
    for node, change in changes.items():
        if type(owned[node]) is nn.Conv2d:
            _tell(captured.get_submodule(owner_of(node)), change)
        else:
            _rewrite(calls[node.name], change)
    captured.graph.lint()
    captured.recompile()
    return replace(graph.model, module=captured)


def _check_alike(graph: Graph, changes: Mapping[fx.Node, Change]) -> None:
    layers = dict(graph.model.module.named_modules())
    for node in graph.nodes:
        name = owner_of(node)
        if type(layers.get(name)) is not _TYPES.get(operator_of(node)):
            continue
        wishes = {changes.get(n) for n in graph.nodes if owner_of(n) == name}
        if len(wishes) > 1:
            raise UnsupportedError(
                f"{name!r} runs on maps of two sizes, and would need two dilations or strides"
            )


def _tell(layer: nn.Module, change: Change) -> None:
    """Writes the change into a layer's attributes."""
    for name, value in change.settings.items():
        setattr(layer, name, value)


def _rewrite(node: fx.Node, change: Change) -> None:
    """Writes the change into a call's arguments."""
    named = arguments_of(node, (node.args, node.kwargs))
    if change.is_whole:
        node.target = torch.ops.aten.adaptive_avg_pool2d.default
        named = {"self": named["self"], "output_size": [1, 1]}
    new = {k: list(v) if isinstance(v, tuple) else v for k, v in change.settings.items()}
    node.args = ()
    node.kwargs = {**named, **new}
