"""Whole blocks that could go, because they give what has the shape of what they read."""

from collections import defaultdict
from collections.abc import Container, Iterator, Sequence

from torch import nn
from torch.fx import Node

from lilliput.graph.advice.entry import Advice, Whole
from lilliput.graph.graph import Graph, shape_of
from lilliput.graph.weights import weights_of

__all__ = ["removals"]


def removals(graph: Graph, whole: Whole) -> Iterator[Advice]:
    """The innermost blocks of several layers that could go, where that saves 1 % of the whole."""
    for name in _blocks(graph):
        inside = [row for row in whole.rows if row.name.startswith(f"{name}.")]
        saved_bytes = sum(row.weight_bytes for row in inside)
        saved_macs = sum(row.macs for row in inside)
        if whole.is_worth(saved_bytes, saved_macs):
            text = "block may go, it keeps its input's shape: "
            text += whole.saving_text(saved_bytes, saved_macs)
            yield Advice(name, "remove", saved_bytes, saved_macs, text)


def _blocks(graph: Graph) -> list[str]:
    """The innermost modules with modules inside that run once and keep the shape of what they read.

    Their weights are theirs alone, so that all of them go.
    """
    constants = weights_of(graph).constants
    modules = dict(graph.model.module.named_modules())
    found = [
        name
        for name, calls in _calls(graph).items()
        if len(calls) == 1
        and any(modules[name].children())
        and _keeps_shape(next(iter(calls.values())), constants)
        and not _shares_weights(graph.model.module, modules[name])
    ]
    return [name for name in found if not any(other.startswith(f"{name}.") for other in found)]


def _calls(graph: Graph) -> dict[str, dict[str, list[Node]]]:
    """Of each inner module the nodes of each of its calls."""
    names = {name for name, _ in graph.model.module.named_modules() if name}
    calls: dict[str, dict[str, list[Node]]] = defaultdict(lambda: defaultdict(list))
    for node in graph.nodes:
        for call, (name, _) in (node.meta.get("nn_module_stack") or {}).items():
            if name.partition("@")[0] in names:
                calls[name.partition("@")[0]][call].append(node)
    return calls


def _keeps_shape(nodes: Sequence[Node], constants: Container[Node]) -> bool:
    """Whether these nodes give one tensor, of the shape and kind of one that they read."""
    inside = set(nodes)
    given = [node for node in nodes if any(user not in inside for user in node.users)]
    read = {x for node in nodes for x in node.all_input_nodes if x not in inside}
    return len(given) == 1 and any(
        shape_of(x) == shape_of(given[0]) != () and _kind(x) == _kind(given[0])
        for x in read
        if x not in constants
    )


def _kind(node: Node) -> object:
    return getattr(node.meta.get("val"), "dtype", None)


def _shares_weights(network: nn.Module, block: nn.Module) -> bool:
    """Whether a tensor of the block is one of another part, too."""
    inside = set(block.modules())
    own = {id(tensor) for tensor in [*block.parameters(), *block.buffers()]}
    others = (part for part in network.modules() if part not in inside)
    return any(
        id(tensor) in own
        for part in others
        for tensor in [*part.parameters(recurse=False), *part.buffers(recurse=False)]
    )
