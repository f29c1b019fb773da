"""Whole blocks that could go, because they give what has the shape of what they read."""

from collections.abc import Iterator

from torch import nn

from lilliput.graph.advice.entry import Advice, Whole
from lilliput.graph.blocks import removable_blocks
from lilliput.graph.graph import Graph

__all__ = ["removals"]


def removals(graph: Graph, whole: Whole) -> Iterator[Advice]:
    """The blocks that could go, where that saves 1 % of the whole.

    Their weights are theirs alone, so that all of them go.
    """
    network = graph.model.module
    for name in removable_blocks(graph.model):
        if _shares_weights(network, network.get_submodule(name)):
            continue
        inside = [row for row in whole.rows if row.name.startswith(f"{name}.")]
        saved_bytes = sum(row.weight_bytes for row in inside)
        saved_macs = sum(row.macs for row in inside)
        if whole.is_worth(saved_bytes, saved_macs):
            text = "block may go, it keeps its input's shape: "
            text += whole.saving_text(saved_bytes, saved_macs)
            yield Advice(name, "remove", saved_bytes, saved_macs, text)


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
