"""Which layers a pass may replace, over what they run, and the swap itself."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, fx, nn
from torch.nn import functional
from torch.nn.utils import parametrize

from lilliput.core import Model, Note, PassError
from lilliput.core.modes import in_eval_mode
from lilliput.core.spelling import did_you_mean
from lilliput.graph import capture

__all__ = ["Layer", "Place", "Run", "places", "replaced", "unchanged"]

Layer = nn.Linear | nn.Conv1d | nn.Conv2d

_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d)


@dataclass(frozen=True)
class Run:
    """One call of a layer: sizes without the channels, the batch among them.

    Args:
        read: Of what goes in.
        given: Of what comes out.
    """

    read: tuple[int, ...]
    given: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Place:
    """A layer that may be replaced.

    Args:
        layer: It pads with zeros, belongs to itself, and runs.
        runs: Its calls for the example inputs.
    """

    layer: Layer
    runs: tuple[Run, ...]


def places(
    model: Model, wanted: tuple[str, ...], suits: Callable[[Layer], bool], what: str
) -> dict[str, Place]:
    """The layers named, or all that suit, in the order the network holds them.

    None suits that runs nowhere, shares its parameters, is parametrized, carries hooks, pads with
    something else than zeros, or is of a class of one's own that does not compute what the class of
    PyTorch does.

    Args:
        model: It is not changed.
        wanted: Names of layers; empty for all.
        suits: Whether a pass can replace a layer.
        what: What suits, for the error, such as "convolution with a kernel above 1".

    Raises:
        PassError: A name is no layer that suits.
    """
    plain = _plain_layers(model.module)
    calls = _calls(model, plain)
    found = {
        name: Place(layer, tuple(calls[name]))
        for name, layer in plain.items()
        if calls[name] and suits(layer)
    }
    for name in wanted:
        if name not in found:
            raise PassError(f"{name!r} is no {what}; {did_you_mean(name, found)}")
    return {name: place for name, place in found.items() if not wanted or name in wanted}


def replaced(model: Model, layers: Mapping[str, nn.Module]) -> Model:
    """The model with these layers in place of those of the same names.

    Where the network's own code looks into a layer, as `nn.TransformerEncoderLayer` does, it is
    captured, so that nothing but the layers' outputs counts; a layer that it looks into even so
    stays, and a note says so.
    """
    for name, layer in layers.items():
        layer.train(model.module.get_submodule(name).training)
    swapped = _swapped(model.clone(), layers)
    if _runs(swapped):
        return swapped
    captured = capture(model)
    nodes: list[fx.Node] = list(captured.module.graph.nodes)  # type: ignore[arg-type, union-attr]
    read = [str(node.target) for node in nodes if node.op == "get_attr"]
    inside = [name for name in layers if any(target.startswith(f"{name}.") for target in read)]
    small = _swapped(captured, {n: layer for n, layer in layers.items() if n not in inside})
    notes = [Note(f"{name} stays: the network reads its weight elsewhere, too") for name in inside]
    return replace(small, notes=(*small.notes, *notes))


def unchanged(model: Model, pass_name: str, what: str) -> Model:
    """The model as it is, with a note that it has no layer that suits."""
    note = Note(f"{pass_name}: no {what}, so nothing changes")
    return replace(model, notes=(*model.notes, note))


def _swapped(model: Model, layers: Mapping[str, nn.Module]) -> Model:
    for name, layer in layers.items():
        model.module.set_submodule(name, layer)
    return model


def _runs(model: Model) -> bool:
    try:
        with in_eval_mode(model.module), torch.no_grad():
            model.module(*model.example_inputs)
    except Exception:  # noqa: BLE001 - the network's own code; whatever it says, it looked inside
        return False
    return True


def _plain_layers(module: nn.Module) -> dict[str, Layer]:
    held = Counter(id(p) for _, p in module.named_parameters(remove_duplicate=False))
    names = Counter(id(part) for _, part in module.named_modules(remove_duplicate=False))
    found: dict[str, Layer] = {}
    for name, layer in module.named_modules():
        if not name or not isinstance(layer, _LAYERS) or names[id(layer)] > 1:
            continue
        if parametrize.is_parametrized(layer):
            continue
        is_shared = any(held[id(p)] > 1 for p in layer.parameters())
        has_hooks = bool(layer._forward_hooks or layer._forward_pre_hooks)  # noqa: SLF001
        if not is_shared and not has_hooks and getattr(layer, "padding_mode", "zeros") == "zeros":
            found[name] = layer
    return found


def _calls(model: Model, layers: Mapping[str, Layer]) -> dict[str, list[Run]]:
    calls: dict[str, list[Run]] = defaultdict(list)
    others: set[str] = set()
    with in_eval_mode(model.module), _watched(layers, calls, others), torch.no_grad():
        model.module(*model.example_inputs)
    for name in others:
        calls[name].clear()
    return calls


def _is_usual(layer: Layer, x: Tensor, output: Tensor) -> bool:
    """Whether a layer gave what PyTorch's own class would have."""
    if isinstance(layer, nn.Linear):
        usual = functional.linear(x, layer.weight, layer.bias)
    else:
        run = functional.conv1d if isinstance(layer, nn.Conv1d) else functional.conv2d
        usual = run(
            x,
            layer.weight,
            layer.bias,
            layer.stride,
            layer.padding,
            layer.dilation,
            layer.groups,
        )
    return usual.shape == output.shape and torch.equal(usual, output)


@contextmanager
def _watched(
    layers: Mapping[str, Layer], calls: dict[str, list[Run]], others: set[str]
) -> Iterator[None]:
    """Notes each layer's calls, and the layers that compute something else than PyTorch's own."""

    def watch(name: str, layer: Layer) -> torch.utils.hooks.RemovableHandle:
        axis = -1 if isinstance(layer, nn.Linear) else -1 - len(layer.kernel_size)

        def sizes(x: Tensor) -> tuple[int, ...]:
            return tuple(n for d, n in enumerate(x.shape) if d != x.dim() + axis)

        def record(
            _: nn.Module, inputs: tuple[Tensor, ...], named: dict[str, Tensor], output: Tensor
        ) -> None:
            x = inputs[0] if inputs else named["input"]
            calls[name].append(Run(sizes(x), sizes(output)))
            if type(layer) not in _LAYERS and not _is_usual(layer, x, output):
                others.add(name)

        return layer.register_forward_hook(record, with_kwargs=True)

    handles = [watch(name, layer) for name, layer in layers.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
