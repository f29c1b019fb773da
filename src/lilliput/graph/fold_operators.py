"""BatchNorm folded into an operator of a captured graph: users' own convolutions among them."""

import torch
from torch import Tensor, fx, nn
from torch.fx import Node

from lilliput.graph.graph import operator_of, shape_of
from lilliput.graph.norm_scale import scale_and_shift, scaled

__all__ = ["fold_into_operators"]

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
        if runs_once and isinstance(before, Node) and _can_take(module, before):
            _fold(module, before, norm)
            node.replace_all_uses_with(before)
            module.graph.erase_node(node)
            folded.append(str(node.target))
    return tuple(folded)


def _can_take(module: fx.GraphModule, node: Node) -> bool:
    """Whether only BatchNorm reads the operator, and only the operator its weight and bias."""
    if _AXES.get(operator_of(node)) != len(shape_of(node)) or len(node.users) != 1:
        return False
    weight, bias = _parameters(node)
    return all(
        isinstance(p, Node) and p.op == "get_attr" and len(_readers(module, p)) == 1
        for p in ([weight] if bias is None else [weight, bias])
    )


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
    assert isinstance(weight_node, Node)  # noqa: S101  checked by _can_take
    scale, shift = scale_and_shift(norm)
    owner, _, leaf = str(weight_node.target).rpartition(".")
    holder = module.get_submodule(owner)
    weight: Tensor = getattr(holder, leaf)
    groups = 0
    if operator_of(node) == "conv_transpose2d":
        groups = int(node.args[_GROUPS_OF_TRANSPOSED]) if len(node.args) > 6 else 1  # type: ignore[call-overload]
    _set(holder, leaf, scaled(weight.double(), scale, groups).to(weight.dtype))
    if isinstance(bias_node, Node):
        owner, _, leaf = str(bias_node.target).rpartition(".")
        holder = module.get_submodule(owner)
        bias: Tensor = getattr(holder, leaf)
        _set(holder, leaf, (shift + bias.double() * scale).to(bias.dtype))
        return
    name = f"{leaf.removesuffix('weight')}bias"
    holder.register_parameter(name, None) if not hasattr(holder, name) else None
    _set(holder, name, shift.to(weight.dtype))
    with module.graph.inserting_before(node):
        added = module.graph.get_attr(f"{owner}.{name}" if owner else name)
    added.meta = {**weight_node.meta, "val": getattr(holder, name)}
    node.args = (*node.args[:2], added, *node.args[3:])


def _set(holder: nn.Module, name: str, value: Tensor) -> None:
    """Puts a parameter in a parameter's or a buffer's place."""
    old = getattr(holder, name)
    needs_gradient = old.requires_grad if isinstance(old, Tensor) else True
    if name in holder._buffers:  # noqa: SLF001  constants that the trace lifted
        delattr(holder, name)
    setattr(holder, name, nn.Parameter(value, needs_gradient))
