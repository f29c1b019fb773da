"""Whole blocks that could go, because they give what has the shape of what they read."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

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
            text = f"block may go, it keeps its input's shape: "
            text += whole.saving_text(saved_bytes, saved_macs)
            yield Advice(name, "remove", saved_bytes, saved_macs, text)


def _blocks(graph: Graph) -> list[str]:
    """Modules with modules inside that run once and pass on one tensor of a shape they read."""
    modules = dict(graph.model.module.named_modules())
    constants = weights_of(graph).constants
    tied = _tied(graph)
    found = []
    for calls in _calls(graph).values():
        if len(calls) == 1:
            ((name, nodes),) = calls.items()
            ...
    return found
