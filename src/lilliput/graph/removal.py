"""Removing channels for good: smaller parameters, and sizes that fit them."""

import copy
import operator
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, fx, nn

from lilliput.core import Model
from lilliput.core.spelling import did_you_mean
from lilliput.graph.capture import as_module
from lilliput.graph.graph import owner_of
from lilliput.graph.groups import ChannelGroups, channel_groups
from lilliput.graph.replay import answers_alike
from lilliput.graph.resize import Edit, Scaled, plan
from lilliput.graph.trace import trace

__all__ = ["remove_channels", "silence_channels"]

_NORMS = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d | nn.InstanceNorm1d | nn.InstanceNorm2d


def remove_channels(
    model: Model, drop: Mapping[str, Sequence[int]], groups: ChannelGroups | None = None
) -> Model:
    """Removes channels physically.

    The network keeps its own class if only its layers need to know of the new widths. Where its
    code has a size written down that must change (a padding amount, the shape of a view), or
    computes with one that must stay (the root of a width that scales attention), it becomes a
    captured graph in which such sizes are numbers.

    Args:
        model: It is not changed.
        drop: For each group, by name, the units that go.
        groups: What `channel_groups` gave for this network, if it is at hand.

    Raises:
        ValueError: An unknown group, a unit it does not have, or all units of a group.
        UnsupportedError: What remains is not something the network's code can work on.
    """
    groups = groups or channel_groups(trace(model))
    chosen = _checked(drop, groups)
    gone = groups.gone(chosen)
    edits = plan(groups.flow, gone)
    keep = _keep(chosen, groups, dict(_tensors(model.module)))
    if not _only_layers(model.module, edits):
        module = _captured(model, groups, edits, keep)
    else:
        slices = _slices(model.module, keep)
        module = copy.deepcopy(model.module, dict(slices))
        _tell_all(module, edits)
        graph = replace(groups.graph, model=model)
        if not answers_alike(module, graph, edits, slices):  # its code computes with a width
            module = _captured(model, groups, edits, keep)
    return replace(model, module=module)


def silence_channels(
    model: Model, drop: Mapping[str, Sequence[int]], groups: ChannelGroups | None = None
) -> Model:
    """Sets every parameter of these units to zero, which keeps all shapes.

    Args:
        model: It is not changed.
        drop: For each group, by name, the units.
        groups: What `channel_groups` gave for this network, if it is at hand.

    Raises:
        ValueError: An unknown group, a unit it does not have, or all units of a group.
    """
    groups = groups or channel_groups(trace(model))
    silent = model.clone()
    parameters = dict(silent.module.named_parameters(remove_duplicate=False))
    keep = _keep(_checked(drop, groups), groups, dict(_tensors(model.module)))
    with torch.no_grad():
        for name in keep.keys() & parameters.keys():
            for axis, indices in keep[name].items():
                weight = parameters[name]
                mask = torch.zeros(weight.shape[axis], device=weight.device)
                mask[indices] = 1
                weight.mul_(mask.view([-1 if d == axis else 1 for d in range(weight.dim())]))
    return silent


def _checked(drop: Mapping[str, Sequence[int]], groups: ChannelGroups) -> dict[str, list[int]]:
    sizes = {group.name: group.size for group in groups}
    chosen = {name: sorted({int(k) for k in units}) for name, units in drop.items() if len(units)}
    for name, units in chosen.items():
        if name not in sizes:
            raise ValueError(f"no channel group {name!r}; {did_you_mean(name, sizes)}")
        if units[0] < 0 or units[-1] >= sizes[name]:
            raise ValueError(f"group {name!r} has units 0 to {sizes[name] - 1}, got {units}")
        if len(units) == sizes[name]:
            raise ValueError(f"cannot remove all {sizes[name]} units of {name!r}; keep at least 1")
    return chosen


def _tensors(module: nn.Module) -> list[tuple[str, Tensor]]:
    return [
        *module.named_parameters(remove_duplicate=False),
        *module.named_buffers(remove_duplicate=False),
    ]


def _keep(
    chosen: Mapping[str, Sequence[int]], groups: ChannelGroups, tensors: Mapping[str, Tensor]
) -> dict[str, dict[int, Tensor]]:
    """For each tensor and axis, the positions that remain."""
    gone: dict[tuple[str, int], set[int]] = defaultdict(set)
    for name, units in chosen.items():
        group = groups[name]
        for k in units:
            for site in group.units[k]:
                gone[site.tensor, site.axis].add(site.index)
    keep: dict[str, dict[int, Tensor]] = defaultdict(dict)
    for (name, axis), indices in gone.items():
        size = tensors[name].shape[axis]
        left = [i for i in range(size) if i not in indices]
        if not left:
            raise ValueError(f"these units are all {size} positions of axis {axis} of {name!r}")
        keep[name][axis] = torch.tensor(left)
    return keep


def _only_layers(module: nn.Module, edits: Mapping[fx.Node, Edit]) -> bool:
    """Whether layers' own attributes can say all that changes."""
    layers = dict(module.named_modules())
    return all(
        edit.target is None and isinstance(layers.get(owner_of(node)), _SIZED)
        for node, edit in edits.items()
    )


def _captured(
    model: Model,
    groups: ChannelGroups,
    edits: Mapping[fx.Node, Edit],
    keep: Mapping[str, Mapping[int, Tensor]],
) -> nn.Module:
    module = as_module(replace(groups.graph, model=model), _slices(model.module, keep))
    calls = {node.name: node for node in module.graph.nodes}
    for node, edit in edits.items():
        own = calls.get(node.name)
        if own is not None and own.op == "call_function":
            _edit(own, edit, calls)
    module.recompile()
    _tell_all(module, edits)
    again = trace(replace(model, module=module))
    return as_module(again)


def _edit(node: fx.Node, edit: Edit, calls: Mapping[str, fx.Node]) -> None:
    """Writes new arguments into a call."""
    names = [argument.name for argument in node.target._schema.arguments]  # type: ignore[union-attr]  # noqa: SLF001
    named = {**dict(zip(names, node.args, strict=False)), **node.kwargs}
    graph = node.graph

    def written(value: Any) -> Any:
        if isinstance(value, fx.Node):
            return calls[value.name]
        if isinstance(value, list | tuple):
            return [written(item) for item in value]
        if not isinstance(value, Scaled):
            return value
        with graph.inserting_before(node):
            times = graph.call_function(operator.mul, (calls[value.node.name], value.numerator))
            return graph.call_function(operator.floordiv, (times, value.denominator))

    node.args = ()
    values = edit.applied(named).items()
    node.kwargs = {
        key: named[key] if isinstance(value, fx.Node) and key in named else written(value)
        for key, value in values
    }
    if edit.target is not None:
        node.target = edit.target


def _slices(
    module: nn.Module, keep: Mapping[str, Mapping[int, Tensor]]
) -> dict[int, nn.Parameter | Tensor]:
    """For `copy.deepcopy`: what takes the place of each parameter and buffer that shrinks.

    So the whole ones are never copied, and tied parameters stay tied.
    """
    tensors = dict(_tensors(module))
    slices: dict[int, nn.Parameter | Tensor] = {}
    for name, axes in keep.items():
        old = tensors[name]
        small = old.detach()
        for axis, indices in axes.items():
            small = small.index_select(axis, indices.to(small.device))
        is_parameter = isinstance(old, nn.Parameter)
        slices[id(old)] = nn.Parameter(small, old.requires_grad) if is_parameter else small
    return slices


def _tell_all(module: nn.Module, edits: Mapping[fx.Node, Edit]) -> None:
    """Writes widths into the attributes of all layers."""
    told = {owner_of(node): edit.arguments for node, edit in edits.items()}
    for name, layer in module.named_modules():
        _tell(layer, told.get(name, {}))


def _tell(layer: nn.Module, edit: Mapping[str, Any]) -> None:
    """Writes a layer's widths into its attributes."""
    if isinstance(layer, _CONVOLUTIONS):
        layer.groups = edit.get("groups", layer.groups)
        first, second = layer.weight.shape[:2]
        second *= layer.groups
        is_transposed = layer.transposed
        layer.out_channels, layer.in_channels = (
            (second, first) if is_transposed else (first, second)
        )
    elif isinstance(layer, nn.Linear):
        layer.out_features, layer.in_features = layer.weight.shape
    elif isinstance(layer, nn.Embedding):
        layer.num_embeddings, layer.embedding_dim = layer.weight.shape
    elif isinstance(layer, _NORMS):
        known = layer.weight if layer.weight is not None else layer.running_mean
        layer.num_features = layer.num_features if known is None else len(known)
    elif isinstance(layer, nn.LayerNorm | nn.RMSNorm):
        layer.normalized_shape = tuple(edit.get("normalized_shape", layer.normalized_shape))
    elif isinstance(layer, nn.GroupNorm):
        layer.num_groups = edit.get("num_groups", layer.num_groups)
        layer.num_channels = layer.num_channels if layer.weight is None else len(layer.weight)
    elif isinstance(layer, nn.PReLU):
        layer.num_parameters = len(layer.weight)


_CONVOLUTIONS = (
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)
_SIZED = (*_CONVOLUTIONS, nn.LayerNorm, nn.RMSNorm, nn.GroupNorm)
