"""How much memory activations need while the network runs, operator after operator."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch.fx import Node

from lilliput.graph.graph import Graph
from lilliput.graph.names import layer_names
from lilliput.graph.storage import Storages, storages_of
from lilliput.graph.weights import weights_of

__all__ = ["MemoryProfile", "peak_memory"]


@dataclass(frozen=True)
class MemoryProfile:
    """Live activations for one example.

    Args:
        peak_bytes: The most that is live at once.
        peak_at: The operator that runs then, by its name in `cost`.
        live_bytes: What is live while each operator runs, in running order.
    """

    peak_bytes: int
    peak_at: str
    live_bytes: tuple[tuple[str, int], ...]


def peak_memory(graph: Graph) -> MemoryProfile:
    """Counts the activations that are live while each operator runs.

    A tensor lives from the operator that makes it to the last that reads it; an input from the
    start, an output to the end. Views and in-place operators take no memory of their own. Weights,
    and what is computed from them alone, are not counted, nor is scratch space inside an operator.
    """
    weights = weights_of(graph)
    nodes = [n for n in graph.program.graph.nodes if n not in weights.constants]
    steps = [n for n in nodes if n.op == "call_function"]
    names = layer_names(graph, weights)
    live = [0] * max(1, len(steps))
    for size, first, last in _lifetimes(nodes, steps, storages_of(graph)):
        for step in range(first, last + 1):
            live[step] += size
    found = [(names[node], size // graph.batch) for node, size in zip(steps, live, strict=False)]
    peak = live.index(max(live))
    peak_at = names[steps[peak]] if steps else ""
    return MemoryProfile(live[peak] // graph.batch, peak_at, tuple(found))


def _lifetimes(
    nodes: Sequence[Node], steps: Sequence[Node], storages: Storages
) -> list[tuple[int, int, int]]:
    """Bytes, first and last step of each piece of memory."""
    end = max(0, len(steps) - 1)
    place = {node: step for step, node in enumerate(steps)}
    sizes: dict[int, int] = {}
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for node in nodes:
        readers = [end if n.op == "output" else place[n] for n in node.users]
        for identity, size in storages[node].items():
            sizes.setdefault(identity, size)  # whoever made it knows
            first.setdefault(identity, place.get(node, 0))
            last[identity] = max(last.get(identity, 0), place.get(node, 0), *readers, 0)
    return [(sizes[i], first[i], last[i]) for i in sizes]
