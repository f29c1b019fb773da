"""BatchNorm folded into the layer before it: fewer operators, the same function in eval mode."""

from collections import Counter
from dataclasses import dataclass
from typing import get_args

import torch
from jaxtyping import Float64
from torch import Tensor, fx, nn
from torch.nn.utils.parametrize import is_parametrized

from lilliput.core import Model
from lilliput.graph.graph import Graph, operator_of, owner_of, shape_of
from lilliput.graph.trace import trace

__all__ = ["fold_batch_norm", "foldable"]

# the layers that fold, and how many axes their outputs must have for axis 1 to be the channels
_AXES = {nn.Conv1d: 3, nn.Conv2d: 4, nn.ConvTranspose2d: 4, nn.Linear: 2}

_Layer = nn.Conv1d | nn.Conv2d | nn.ConvTranspose2d | nn.Linear
_Norm = nn.BatchNorm1d | nn.BatchNorm2d
_Channels = Float64[Tensor, " channels"]


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
    layers that run twice, whose output or parameters go elsewhere too, that are parametrized or
    carry hooks, a layer with a `forward` of its own that reads no bias, and BatchNorm written as a
    function.

    Returns:
        The model, and the names of the BatchNorm layers that were folded.

    Raises:
        TraceError: The network cannot be traced.

    Source: Jacob et al. 2018, section 3.2 (eq. 14), with the shift folded likewise.
    """
    pairs = _pairs(trace(model))
    pairs = _with_bias(model, pairs)
    for pair in pairs:
        _fold(pair.layer, pair.norm)
        _remove(model.module, pair.norm_name)
    if pairs and isinstance(model.module, fx.GraphModule):
        model.module.graph.lint()
        model.module.recompile()
    return model, tuple(pair.norm_name for pair in pairs)


def _with_bias(model: Model, pairs: list[_Pair]) -> list[_Pair]:
    """Those whose layer reads its bias, or would if it had one.

    PyTorch's own layers do. A `forward` of somebody's own is asked: it is traced with a bias.
    """
    asked = [p for p in pairs if type(p.layer) not in _AXES and p.layer.bias is None]
    if not asked:
        return pairs
    for pair in asked:
        pair.layer.bias = nn.Parameter(pair.layer.weight.new_zeros(pair.norm.num_features))
    graph = trace(model)
    read = {graph.tensor_names.get(n.name) for node in graph.nodes for n in _weights(node)}
    for pair in asked:
        pair.layer.bias = None
    return [pair for pair in pairs if pair not in asked or f"{pair.layer_name}.bias" in read]


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
    """Whether nobody changes what goes in or out of it.

    A layer's `forward` may be somebody's own, with padding before the operator for instance: its
    operator still reads the weight as it is. A norm is PyTorch's own.
    """
    hooks = layer._forward_hooks or layer._forward_pre_hooks  # noqa: SLF001
    is_known = isinstance(layer, tuple(_AXES)) or type(layer) in get_args(_Norm)
    return is_known and not hooks and not is_parametrized(layer)


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
    scale, shift = _scale_and_shift(norm)
    if layer.bias is not None:
        shift = shift + layer.bias.double() * scale
    old = layer.weight
    weight = _scaled(layer, old.double(), scale)
    layer.weight = nn.Parameter(weight.to(old.dtype), old.requires_grad)
    layer.bias = nn.Parameter(shift.to(old.dtype), old.requires_grad)


def _scale_and_shift(norm: _Norm) -> tuple[_Channels, _Channels]:
    """What BatchNorm does in eval mode, as `y = x * scale + shift`; in double."""
    assert norm.running_mean is not None  # noqa: S101  checked by _pairs
    assert norm.running_var is not None  # noqa: S101
    scale = (norm.running_var.double() + norm.eps).rsqrt()
    shift = -norm.running_mean.double() * scale
    if not norm.affine:
        return scale, shift
    gamma, beta = norm.weight.double(), norm.bias.double()
    return scale * gamma, shift * gamma + beta


def _scaled(layer: _Layer, weight: Tensor, scale: _Channels) -> Tensor:
    """Multiplies each output channel; a transposed convolution has them on axis 1, per group."""
    if not isinstance(layer, nn.ConvTranspose2d):
        return weight * scale.view(-1, *[1] * (weight.dim() - 1))
    grouped = weight.view(layer.groups, -1, *weight.shape[1:])
    return (grouped * scale.view(layer.groups, 1, -1, 1, 1)).view_as(weight)


def _remove(module: nn.Module, name: str) -> None:
    module.set_submodule(name, nn.Identity())
    if not isinstance(module, fx.GraphModule):
        return
    for node in module.graph.find_nodes(op="call_module", target=name):
        node.replace_all_uses_with(node.all_input_nodes[0])
        module.graph.erase_node(node)
