"""BatchNorm folded into the layer before it: fewer operators, the same function in eval mode."""

from collections import Counter
from dataclasses import dataclass
from typing import get_args

import torch
from torch import fx, nn

from lilliput.core import Model
from lilliput.graph.fold_operators import fold_into_operators
from lilliput.graph.graph import Graph, operator_of, owner_of, shape_of
from lilliput.graph.masks import masks_aside
from lilliput.graph.norm_scale import scale_and_shift, scaled
from lilliput.graph.trace import trace

__all__ = ["fold_batch_norm", "foldable"]

# the layers that fold, and how many axes their outputs must have for axis 1 to be the channels
_AXES = {nn.Conv1d: 3, nn.Conv2d: 4, nn.ConvTranspose2d: 4, nn.Linear: 2}

_Layer = nn.Conv1d | nn.Conv2d | nn.ConvTranspose2d | nn.Linear
_Norm = nn.BatchNorm1d | nn.BatchNorm2d


@dataclass(frozen=True, eq=False)
class _Pair:
    """A layer, and the BatchNorm that alone reads it."""

    layer: _Layer
    layer_name: str
    norm: _Norm
    norm_name: str


def fold_batch_norm(model: Model) -> tuple[Model, tuple[str, ...]]:
    """Folds each BatchNorm into the convolution or linear layer that alone feeds it.

    The network is changed in place: the layer before takes over scale and shift, and the BatchNorm
    becomes `nn.Identity`, or leaves the graph where the network is a captured one. Left alone are
    layers that run twice, whose output or parameters go elsewhere too, that are parametrized by
    anything but a mask or carry hooks, and BatchNorm written as a function. Convolutions of a class
    of one's own are folded in captured networks only, whose graph says what they compute.

    What BatchNorm knew of the outputs stays beside the layer, as buffers `output_mean` and
    `output_deviation` that no state dict holds: its shift, and its scale without the sign.

    Returns:
        The model, and the names of the BatchNorm layers that were folded.

    Raises:
        TraceError: The network cannot be traced.

    Source: Jacob et al. 2018, section 3.2 (eq. 14), with the shift folded likewise.
    """
    with masks_aside(model.module):  # a channel's scale leaves its zeros where they are
        names = _fold_all(model)
    return model, names


def _fold_all(model: Model) -> tuple[str, ...]:
    pairs = _pairs(trace(model))
    for pair in pairs:
        _fold(pair.layer, pair.norm)
        _remove(model.module, pair.norm_name)
    names = [pair.norm_name for pair in pairs]
    if isinstance(model.module, fx.GraphModule):
        names += fold_into_operators(model.module)
        model.module.graph.lint()
        model.module.recompile()
    return tuple(names)


def foldable(graph: Graph) -> dict[str, str]:
    """The BatchNorm layers that `fold_batch_norm` would fold, each with the layer it goes to."""
    return {pair.norm_name: pair.layer_name for pair in _pairs(graph)}


def _pairs(graph: Graph) -> list[_Pair]:
    layers = _layers_of_their_own(graph)
    found = []
    for node in graph.nodes:
        norm = layers.get(node)
        if operator_of(node) != "batch_norm" or not isinstance(norm, _Norm):
            continue
        before = node.all_input_nodes[0]
        layer = layers.get(before)
        axes = next((n for type_, n in _AXES.items() if isinstance(layer, type_)), None)
        if axes != len(shape_of(before)) or len(before.users) != 1 or norm.running_mean is None:
            continue
        assert isinstance(layer, _Layer)  # noqa: S101  one of _AXES
        found.append(_Pair(layer, owner_of(before), norm, owner_of(node)))
    return found


def _layers_of_their_own(graph: Graph) -> dict[fx.Node, nn.Module]:
    """By node, the layers that run once, as they are, and share no parameter."""
    layers = dict(graph.model.module.named_modules(remove_duplicate=False))
    names = Counter(id(layer) for layer in layers.values())
    nodes = [node for node in graph.nodes if _weights(node)]
    runs = Counter(owner_of(node) for node in nodes)
    found = {}
    for node in nodes:
        layer = layers.get(owner_of(node))
        if layer is None or runs[owner_of(node)] != 1 or names[id(layer)] != 1:
            continue
        if _is_plain(layer) and _shares_nothing(graph, node, layer):
            found[node] = layer
    return found


def _is_plain(layer: nn.Module) -> bool:
    """Whether the layer is PyTorch's own and nobody changes what goes in or out of it."""
    hooks = layer._forward_hooks or layer._forward_pre_hooks  # noqa: SLF001
    return type(layer) in (*_AXES, *get_args(_Norm)) and not hooks


def _weights(node: fx.Node) -> list[fx.Node]:
    """Parameters and buffers that go into the node; `torch.export` names them `p_` and `b_`."""
    return [n for n in node.all_input_nodes if n.op == "placeholder" and n.name[:2] in ("p_", "b_")]


def _shares_nothing(graph: Graph, node: fx.Node, layer: nn.Module) -> bool:
    """Whether the node's parameters are the layer's, and nothing else reads or holds them."""
    every = graph.model.module.named_parameters(remove_duplicate=False)
    holders = Counter(id(parameter) for _, parameter in every)
    owners = {graph.tensor_names.get(n.name, "").rpartition(".")[0] for n in _weights(node)}
    has_other_readers = any(len(n.users) > 1 for n in _weights(node))
    is_held_once = all(holders[id(parameter)] == 1 for parameter in layer.parameters())
    return owners == {owner_of(node)} and is_held_once and not has_other_readers


@torch.no_grad()
def _fold(layer: _Layer, norm: _Norm) -> None:
    scale, shift = scale_and_shift(norm)
    if layer.bias is not None:
        shift = shift + layer.bias.double() * scale
    old = layer.weight
    groups = layer.groups if isinstance(layer, nn.ConvTranspose2d) else 0
    weight = scaled(old.double(), scale, groups)
    layer.weight = nn.Parameter(weight.to(old.dtype), old.requires_grad)
    layer.bias = nn.Parameter(shift.to(old.dtype), old.requires_grad)
    if norm.affine:
        mean, deviation = norm.bias.detach().clone(), norm.weight.detach().abs()
    else:
        mean, deviation = torch.zeros_like(scale), torch.ones_like(scale)
    layer.register_buffer("output_mean", mean.to(old.dtype), persistent=False)
    layer.register_buffer("output_deviation", deviation.to(old.dtype), persistent=False)


def _remove(module: nn.Module, name: str) -> None:
    module.set_submodule(name, nn.Identity())
    if not isinstance(module, fx.GraphModule):
        return
    for node in module.graph.find_nodes(op="call_module", target=name):
        node.replace_all_uses_with(node.all_input_nodes[0])
        module.graph.erase_node(node)
