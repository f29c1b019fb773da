"""Which whole blocks could go: the input of each goes on in its place, and the network still runs.

Only what runs once and gives one tensor of its input's shape can go. Of such modules inside one
another the blocks are found by where the data flows. A part with a way around it, as attention has
in `x + attention(norm(x))`, is no block: without it the sum would still be there. And what consists
of blocks, such as a stage or an encoder, gives way to them.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack

import torch
from torch import Tensor, nn

from lilliput.core import Model
from lilliput.core.modes import in_eval_mode, with_plain_attention
from lilliput.graph.shortcuts import with_a_way_around
from lilliput.graph.sums import met_by_their_inputs

__all__ = ["removable_blocks", "shape_keepers"]


class FirstArgument(nn.Module):
    """Stands for a block that is also given a mask or the like: its first argument goes on."""

    def forward(self, x: Tensor, *_others: object, **_named: object) -> Tensor:
        """Gives `x`."""
        return x


def removable_blocks(model: Model) -> tuple[str, ...]:
    """The whole blocks, of layers inside, that could go one at a time; in running order."""
    modules = dict(model.module.named_modules())
    keepers = shape_keepers(model)
    found = [
        name
        for name, stand_in in keepers.items()
        if any(modules[name].children()) and _runs_with(model, name, stand_in)
    ]
    parts = with_a_way_around(model, found, _wholes(model.module, keepers, found))
    parts |= met_by_their_inputs(model, found)
    blocks = [name for name in found if name not in parts]
    stay = [name for name in blocks if not _gives_way(modules, name, blocks)]
    return tuple(name for name in stay if not any(name.startswith(f"{o}.") for o in stay))


def shape_keepers(model: Model) -> dict[str, nn.Module]:
    """Modules that run once and give one tensor of the shape and kind of their first argument.

    Returns:
        For each, what can stand in its place.
    """
    calls: dict[str, list[nn.Module | None]] = {}
    with ExitStack() as hooks:
        for name, part in model.module.named_modules():
            if name:
                hooks.enter_context(_watch(name, part, calls))
        _run(model)
    return {
        name: stand_ins[0]
        for name, stand_ins in calls.items()
        if len(stand_ins) == 1 and stand_ins[0] is not None
    }


def _run(model: Model) -> None:
    with in_eval_mode(model.module), with_plain_attention(), torch.no_grad():
        model.module(*model.example_inputs)


def _watch(
    name: str, part: nn.Module, calls: dict[str, list[nn.Module | None]]
) -> torch.utils.hooks.RemovableHandle:
    """Records of each call of a module what could stand for it; None if it must stay."""

    def record(
        _: nn.Module, inputs: tuple[object, ...], named: dict[str, object], output: object
    ) -> None:
        is_lone = len(inputs) == 1 and not named
        stand_in = nn.Identity() if is_lone else FirstArgument()
        keeps = bool(inputs) and _are_alike(inputs[0], output)
        calls.setdefault(name, []).append(stand_in if keeps else None)

    return part.register_forward_hook(record, with_kwargs=True)


def _are_alike(before: object, after: object) -> bool:
    """Whether both are tensors, of one shape and kind."""
    if not isinstance(before, Tensor) or not isinstance(after, Tensor):
        return False
    return before.shape == after.shape and before.dtype == after.dtype


def _runs_with(model: Model, name: str, stand_in: nn.Module) -> bool:
    """Whether the network runs with another module in a block's place; it is put back after."""
    block = model.module.get_submodule(name)
    model.module.set_submodule(name, stand_in)
    try:
        _run(model)
    except Exception:  # noqa: BLE001  # whatever a network raises that looks into the block
        return False
    finally:
        model.module.set_submodule(name, block)
    return True


def _wholes(
    network: nn.Module, keepers: Mapping[str, object], found: Sequence[str]
) -> tuple[str, ...]:
    """Modules whose parts may have a way around them.

    These are what keeps its shape, and what changes it in a list with blocks, such as the first of
    a stage. What holds all weights is the network in a wrapper, around whose blocks a way may lead.
    """
    lists = {
        name.rpartition(".")[0]
        for name in found
        if isinstance(network.get_submodule(name.rpartition(".")[0]), nn.Sequential | nn.ModuleList)
    }
    count = _count(network)
    return tuple(
        name
        for name, part in network.named_modules()
        if name and (name.rpartition(".")[0] in lists or (name in keepers and _count(part) < count))
    )


def _gives_way(modules: Mapping[str, nn.Module], name: str, blocks: Sequence[str]) -> bool:
    """Whether blocks inside, and their like beside them in a list, hold most of its weights."""
    inner = tuple(other for other in blocks if other.startswith(f"{name}."))
    inner += tuple(like for other in inner for like in _alike_beside(modules, other))
    inside = sum(
        weight.numel()
        for key, weight in modules[name].named_parameters()
        if any(f"{name}.{key}".startswith(f"{other}.") for other in inner)
    )
    return 2 * inside > _count(modules[name])


def _alike_beside(modules: Mapping[str, nn.Module], name: str) -> tuple[str, ...]:
    """Modules of the same kind in the same list, which a network may look into and so must keep."""
    around = name.rpartition(".")[0]
    if not isinstance(modules.get(around), nn.Sequential | nn.ModuleList):
        return ()
    beside = modules[around].named_children()
    return tuple(f"{around}.{key}" for key, part in beside if type(part) is type(modules[name]))


def _count(part: nn.Module) -> int:
    return sum(weight.numel() for weight in part.parameters())
