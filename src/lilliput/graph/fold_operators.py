"""BatchNorm folded into an operator of a captured graph: users' own convolutions among them."""

from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx import Node

from lilliput.graph.graph import operator_of, shape_of
from lilliput.graph.norm_scale import scale_and_shift, scaled

__all__ = ["bias_name", "can_take", "fold_into_operators"]

# the operators that fold, and how many axes their outputs must have for axis 1 to be the channels
_AXES = {"conv1d": 3, "conv2d": 4, "conv_transpose2d": 4, "linear": 2}
_GROUPS_OF_TRANSPOSED = 6
"""Place of `groups` among the arguments of `aten.conv_transpose2d`."""


@torch.no_grad()
def fold_into_operators(module: fx.GraphModule) -> tuple[str, ...]:
    """Folds each BatchNorm into the operator that alone feeds it, where its weight is a parameter.

    A class of its own around `functional.conv2d` is an operator in the graph and no layer.

    Args:
        module: A captured network; changed in place.

    Returns:
        Names of the BatchNorm layers that are gone.
    """
    folded = []
    for node in list(module.graph.nodes):
        norm = module.get_submodule(str(node.target)) if node.op == "call_module" else None
        if not isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d) or norm.running_mean is None:
            continue
        before = node.args[0]
        runs_once = len(module.graph.find_nodes(op="call_module", target=node.target)) == 1
        if runs_once and isinstance(before, Node) and can_take(module, before):
            _fold(module, before, norm)
            node.replace_all_uses_with(before)
            module.graph.erase_node(node)
            module.set_submodule(str(node.target), nn.Identity())  # its tensors are in no file
            folded.append(str(node.target))
    return tuple(folded)


def can_take(module: fx.GraphModule, node: Node) -> bool:
    """Whether only BatchNorm reads the operator, and only the operator its weight and bias."""
    if _AXES.get(operator_of(node)) != len(shape_of(node)) or len(node.users) != 1:
        return False
    weight, bias = _parameters(node)
    return all(
        isinstance(p, Node) and p.op == "get_attr" and len(_readers(module, p)) == 1
        for p in ([weight] if bias is None else [weight, bias])
    )


def bias_name(node: Node) -> str:
    """What an operator's bias is called, or would be: as its weight, with another end."""
    weight, bias = _parameters(node)
    if isinstance(bias, Node):
        return str(bias.target)
    assert isinstance(weight, Node)  # noqa: S101  checked by can_take
    owner, dot, leaf = str(weight.target).rpartition(".")
    return f"{owner}{dot}{leaf.removesuffix('weight')}bias"


def _readers(module: fx.GraphModule, parameter: Node) -> list[Node]:
    same = module.graph.find_nodes(op="get_attr", target=parameter.target)
    return [user for node in same for user in node.users]


def _parameters(node: Node) -> tuple[object, object]:
    """Weight and bias among an operator's arguments; a bias that is left out is None."""
    given = dict(enumerate(node.args))
    return (
        given.get(1, node.kwargs.get("weight")),
        given.get(2, node.kwargs.get("bias")),
    )


def _fold(module: fx.GraphModule, node: Node, norm: nn.BatchNorm1d | nn.BatchNorm2d) -> None:
    weight_node, bias_node = _parameters(node)
    assert isinstance(weight_node, Node)  # noqa: S101  checked by can_take
    scale, shift = scale_and_shift(norm)
    owner, _, leaf = str(weight_node.target).rpartition(".")
    holder = module.get_submodule(owner)
    weight: Tensor = getattr(holder, leaf)
    groups = 0
    if operator_of(node) == "conv_transpose2d":
        given: dict[int, Any] = dict(enumerate(node.args))
        groups = int(given.get(_GROUPS_OF_TRANSPOSED, 1))
    _set(holder, leaf, scaled(weight.double(), scale, groups).to(weight.dtype))
    full_name = bias_name(node)
    owner, _, name = full_name.rpartition(".")
    holder = module.get_submodule(owner)
    if isinstance(bias_node, Node):
        bias: Tensor = getattr(holder, name)
        _set(holder, name, (shift + bias.double() * scale).to(bias.dtype))
        return
    holder.register_parameter(name, None) if not hasattr(holder, name) else None
    _set(holder, name, shift.to(weight.dtype))
    with module.graph.inserting_before(node):
        added = module.graph.get_attr(full_name)
    added.meta = {**weight_node.meta, "val": getattr(holder, name)}
    node.args = (*node.args[:2], added, *node.args[3:])


def _set(holder: nn.Module, name: str, value: Tensor) -> None:
    """Puts a parameter in a parameter's or a buffer's place."""
    old = getattr(holder, name)
    needs_gradient = old.requires_grad if isinstance(old, Tensor) else True
    if name in holder._buffers:  # noqa: SLF001  constants that the trace lifted
        delattr(holder, name)
    setattr(holder, name, nn.Parameter(value, needs_gradient))
