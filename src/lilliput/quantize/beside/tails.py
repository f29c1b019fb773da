"""One weight after another, each with a way to run only what comes after it."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch import Tensor, fx
from torch.fx import Node

from lilliput.quantize.beside.replay import Replay

__all__ = ["tails"]

Outputs = Callable[[], list[Any]]


def tails(
    module: fx.GraphModule, batches: Sequence[tuple[Tensor, ...]], names: Sequence[str]
) -> Iterator[tuple[str, Outputs]]:
    """Gives each weight that the network reads, in its order, with what runs the rest of it.

    The rest gives the outputs of each batch with the weight and its quantizer as they are then; all
    before it was run once, with everything as it was.

    Args:
        module: A captured network.
        batches: Inputs of each batch.
        names: Of weights.
    """
    replay = Replay(module, batches, is_float=False)
    flowing = [node for node in module.graph.nodes if node not in replay.constants]
    readers = {name: _first_reader(replay, name) for name in names}
    done = 0
    for place, node in enumerate(flowing):
        for name in (name for name, reader in readers.items() if reader is node):
            replay.advance(flowing[done:place])
            done = place

            def rest(start: int = place) -> list[Any]:
                part = replay.copied()
                part.advance(flowing[start:])
                return part[flowing[-1]]

            yield name, rest


def _first_reader(replay: Replay, name: str) -> Node | None:
    """The first node that is not constant and reads a weight, or what is computed of it alone."""
    of_it: set[Node] = set()
    node: Node
    for node in replay.module.graph.nodes:
        is_it = node.op == "get_attr" and str(node.target) == name
        if is_it or not of_it.isdisjoint(node.all_input_nodes):
            if node not in replay.constants:
                return node
            of_it.add(node)
    return None
