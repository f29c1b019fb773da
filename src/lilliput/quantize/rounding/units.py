"""What is reconstructed as one: blocks with one way in and one way out, and layers between them.

A residual block forks at its input and joins again; the smallest part of the graph that holds fork
and join, and that nothing enters in between, is the block. Between blocks a layer goes with what
follows it up to the next layer, and a few such layers in a row make a unit too.

Source: blocks as units: Li et al. 2021, "BRECQ", section 3.2.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from torch import Tensor, fx
from torch.fx import Node

__all__ = ["Unit", "find_units", "in_order"]


@dataclass(frozen=True, eq=False)
class Unit:
    """Nodes that are run together.

    Args:
        nodes: In running order, without constants; the last gives what the rest of the network
            reads.
        layers: Those of them that have a quantized weight.
        reads: Nodes outside, no constants, that they read.
    """

    nodes: tuple[Node, ...]
    layers: tuple[Node, ...]
    reads: tuple[Node, ...]

    @property
    def exit(self) -> Node:
        """The last node."""
        return self.nodes[-1]


def find_units(
    graph: fx.Graph, layers: Collection[Node], constants: Collection[Node], most_layers: int
) -> list[Unit]:
    """Every layer in one unit, in running order.

    Args:
        graph: Of a captured network.
        layers: Operators with a quantized weight.
        constants: Nodes that depend on no input.
        most_layers: A block with more layers is no unit, but what is in it; layers in a row are
            joined as long as they are no more than half as many.
    """
    return _Finder(graph, layers, constants, most_layers).find()


def in_order(graph: fx.Graph, units: Sequence[Unit]) -> Iterator[tuple[list[Node], Unit]]:
    """Each unit with the nodes that run before it and belong to none."""
    ends = {unit.exit: unit for unit in units}
    inside = {node for unit in units for node in unit.nodes}
    before: list[Node] = []
    for node in graph.nodes:
        if node in ends:
            yield before, ends[node]
            before = []
        elif node not in inside:
            before.append(node)


@dataclass(eq=False)
class _Finder:
    graph: fx.Graph
    layers: Collection[Node]
    constants: Collection[Node]
    most_layers: int
    places: dict[Node, int] = field(default_factory=dict)
    taken: set[Node] = field(default_factory=set)

    def find(self) -> list[Unit]:
        self.places = {node: place for place, node in enumerate(self.graph.nodes)}
        blocks = sorted(self._blocks(), key=self._count, reverse=True)
        singles = [[node] for node in self.graph.nodes if node in self.layers]
        found = []
        for nodes in (*blocks, *singles):
            if self.taken.isdisjoint(nodes):
                found += [self._extended(nodes)]
        found.sort(key=lambda nodes: self.places[nodes[-1]])
        return [self._unit(nodes) for nodes in self._joined(found)]

    def _count(self, nodes: Iterable[Node]) -> int:
        return sum(node in self.layers for node in nodes)

    def _sources(self, node: Node) -> list[Node]:
        return [source for source in node.all_input_nodes if source not in self.constants]

    def _unit(self, nodes: list[Node]) -> Unit:
        nodes = sorted(nodes, key=self.places.__getitem__)
        inside = set(nodes)
        reads = dict.fromkeys(s for n in nodes for s in self._sources(n) if s not in inside)
        layers = tuple(node for node in nodes if node in self.layers)
        return Unit(tuple(nodes), layers, tuple(reads))

    def _blocks(self) -> Iterator[list[Node]]:
        for node in self.graph.nodes:
            if node not in self.constants and len(node.users) > 1:
                block = self._block(node)
                if block and 1 <= self._count(block) <= self.most_layers:
                    yield block

    def _block(self, fork: Node) -> list[Node] | None:
        """From after a fork to where all ways join; None where something else comes in."""
        inside, open_ways = {fork}, len(fork.users)
        for node in list(self.graph.nodes)[self.places[fork] + 1 :]:
            known = [source for source in self._sources(node) if source in inside]
            if not known:
                continue
            if node.op == "output" or len(known) < len(self._sources(node)):
                return None
            open_ways -= len(known)
            inside.add(node)
            if not open_ways:
                return [n for n in sorted(inside, key=self.places.__getitem__) if n is not fork]
            open_ways += len(node.users)
        return None

    def _extended(self, nodes: list[Node]) -> list[Node]:
        """With what follows and has no layer: activation, quantizer, padding."""
        nodes = list(nodes)
        while True:
            users = list(nodes[-1].users)
            if len(users) != 1 or users[0] in self.layers or users[0].op == "output":
                break
            if users[0] in self.taken or len(self._sources(users[0])) != 1:
                break
            value = users[0].meta.get("val")  # split gives several, argmax integers
            if not (isinstance(value, Tensor) and value.is_floating_point()):
                break
            nodes.append(users[0])
        self.taken.update(nodes)
        return nodes

    def _joined(self, found: Iterable[list[Node]]) -> list[list[Node]]:
        """Layers one after another, in one unit."""
        joined: list[list[Node]] = []
        alone: set[int] = set()
        for nodes in found:
            is_alone = self._count(nodes) == 1 and self._sources(nodes[0])[:1] != []
            last = joined[-1] if joined else []
            follows = bool(last) and self._sources(nodes[0]) == [last[-1]]
            fits = self._count(last) + 1 <= self.most_layers // 2
            if is_alone and id(last) in alone and follows and fits and len(last[-1].users) == 1:
                last.extend(nodes)
                continue
            joined.append(nodes)
            if is_alone:
                alone.add(id(nodes))
        return joined
