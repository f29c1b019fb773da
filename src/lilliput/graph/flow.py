"""What is known of a network's channel ids while its operators are followed, one after another."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node
from torch.utils._pytree import tree_leaves, tree_map

from lilliput.graph.graph import Graph, operator_of, owner_of
from lilliput.graph.ids import (
    Deferred,
    Grid,
    Ids,
    Meet,
    Pairs,
    Weight,
    compress,
    expand,
    fixed,
    meeting,
    packed,
    pair,
    varying,
)

__all__ = ["Call", "Flow", "Stop", "arguments_of"]

_LARGEST_TABLE = 1 << 20
"""Elements of a parameter that may each get an id when the code cuts or reshapes it."""


@dataclass(frozen=True)
class Stop:
    """A place where ids could not be followed; its channels stay."""

    operator: str
    where: str
    reason: str
    ids: Pairs


@dataclass(frozen=True)
class Call:
    """One operator of the graph with its arguments by name, tensors replaced by their ids."""

    node: Node
    arguments: dict[str, Any]
    shape: tuple[int, ...]

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]

    def get(self, name: str, default: Any = None) -> Any:
        value = self.arguments.get(name)
        return default if value is None else value


@dataclass(eq=False)
class Flow:
    """Ids of every value, and the relations found between them.

    Args:
        graph: The network.
        values: Ids (or a `Weight`, a number, a list of them) of each node's value.
        count: Ids given out so far.
        pairs: Ids that go together.
        parts: Ids that go together when whole heads, or whole groups of a convolution, are removed.
        heads: Those of `parts` that come from attention.
        later: Relations that are read once all `pairs` are merged.
        attached: For each parameter or buffer, ids that lie along its axes.
        producers: Parameters whose operators made ids, in the order they run, with those ids.
        stops: Where ids could not be followed.
        tables: Ids of the elements of parameters that are used as activations.
        reached: For each call, all ids that go into it or come out, once asked for.
    """

    graph: Graph
    values: dict[Node, Any] = field(default_factory=dict)
    count: int = 1
    pairs: list[Pairs] = field(default_factory=list)
    parts: list[Pairs] = field(default_factory=list)
    heads: list[Pairs] = field(default_factory=list)
    later: list[Deferred] = field(default_factory=list)
    attached: dict[str, list[Ids]] = field(default_factory=dict)
    producers: list[tuple[str, Ids]] = field(default_factory=list)
    stops: list[Stop] = field(default_factory=list)
    tables: dict[str, Ids] = field(default_factory=dict)
    reached: dict[Node, Ids] = field(default_factory=dict)

    # --- sizes -------------------------------------------------------------------------------

    def size(self, size: Any) -> int:
        """A size with the batch, where it is symbolic, counted as 2: small, but not 1."""
        if isinstance(size, int):
            return size
        expression = size.node.expr
        return int(expression.xreplace(dict.fromkeys(expression.free_symbols, 2)))

    def shape(self, value: Any) -> tuple[int, ...]:
        """Sizes of a traced tensor; () for anything else."""
        return tuple(map(self.size, value.shape)) if isinstance(value, Tensor) else ()

    def resolve(self, arguments: Any) -> Any:
        """Replaces every node by its value."""
        return tree_map(
            lambda leaf: self.values[leaf] if isinstance(leaf, Node) else leaf, arguments
        )

    # --- ids ---------------------------------------------------------------------------------

    def new(self, *shape: int) -> Ids:
        """Ids that nothing else has."""
        number = 1
        for size in shape:
            number *= size
        ids = torch.arange(self.count, self.count + number)
        self.count += number
        return ids.view(shape)

    def ids(self, value: Any) -> Ids:
        """Ids of a value; a parameter used as an activation gets one for each element."""
        if isinstance(value, Tensor):
            return value
        if not isinstance(value, Weight):
            return fixed(())
        name, axes = value.parts[0]
        number = torch.Size(value.shape).numel()
        if len(value.parts) > 1 or number > _LARGEST_TABLE:
            for part, _ in value.parts:
                self.attach(Weight(((part, axes),), value.shape), fixed(value.shape))
            return fixed(value.shape)
        plain = [value.shape[axes.index(d)] for d in range(len(axes))]
        if name not in self.tables:
            self.tables[name] = self.new(*plain)
            self.attach(
                Weight(((name, tuple(range(len(plain)))),), tuple(plain)), self.tables[name]
            )
        return self.tables[name].permute(axes)

    # --- relations ---------------------------------------------------------------------------

    def tie(self, a: Ids, b: Ids) -> None:
        """Elements that face each other are removed together."""
        self.pairs.append(pair(a, b))

    def tie_head(self, a: Ids, b: Ids) -> None:
        """Elements that face each other go together with their head."""
        self.heads.append(pair(a, b))
        self.parts.append(self.heads[-1])

    def fix(self, ids: Ids) -> None:
        """These may not be removed."""
        self.tie(ids, fixed(tuple(ids.shape)))

    def stop(self, node: Node, reason: str, ids: Ids) -> None:
        """These may not be removed, and the user is told why."""
        found = pair(ids, fixed(tuple(ids.shape)))
        self.stops.append(Stop(operator_of(node), owner_of(node), reason, found))

    def along(self, ids: Ids, axis: int) -> Ids:
        """Ties what differs along every axis but one; gives the ids on that one.

        Returns:
            Ids of one axis.
        """
        rows = compress(ids.movedim(axis, 0)).flatten(1)
        if rows.shape[1] > 1:
            self.tie(rows, rows[:, :1])
        return rows[:, 0].expand(ids.shape[axis])

    def flat(self, ids: Ids, axis: int) -> Ids:
        """Ties what differs along `axis`, and keeps its first position."""
        first = ids.narrow(axis, 0, 1)
        if axis % ids.dim() in varying(ids):
            self.tie(ids, first)
        return first

    def attach(self, weight: Weight | None, ids: Ids) -> None:
        """Lays ids along a parameter's axes: removing an id removes that slice of it.

        Args:
            weight: What is sliced; None where a layer has no such parameter.
            ids: Of the weight's rank; 1 on axes that do not matter.
        """
        if weight is None:
            return
        for name, axes in weight.parts:
            own = ids.permute([axes.index(d) for d in range(len(axes))])
            own = expand(own, tuple(own.shape))
            for before in self.attached.setdefault(name, []):
                if before.shape == own.shape:
                    self.tie(before, own)
            self.attached[name].append(own)
            self.grid(own)

    def produce(self, weight: Weight, axis: int, number: int) -> Ids:
        """New ids for the outputs of an operator, which lie along `axis` of its weight."""
        ids = self.new(number)
        self.attach(weight, _lay(ids, axis, len(weight.shape)))
        self.producers.append((weight.parts[0][0], ids))
        return ids

    def consume(self, weight: Weight, axis: int, ids: Ids) -> None:
        """The inputs of an operator lie along `axis` of its weight."""
        self.attach(weight, _lay(ids, axis, len(weight.shape)))

    def grid(self, ids: Ids) -> None:
        """Where channels lie along several axes, what remains must be a rectangle."""
        ids = expand(ids, tuple(ids.shape))
        if len(varying(ids)) > 1:
            self.later.append(Grid(compress(ids)))

    def meet(self, a: Ids, b: Ids) -> Ids:
        """Relates two tensors that meet elementwise; gives the ids of the result."""
        rank = max(a.dim(), b.dim())
        a, b = (x[(None,) * (rank - x.dim())] for x in (a, b))
        shape = tuple(torch.broadcast_shapes(a.shape, b.shape))
        lines = len(varying(a)), len(varying(b))
        is_a_wide = all(a.shape[d] > 1 for d in varying(b))
        is_b_wide = all(b.shape[d] > 1 for d in varying(a))
        if max(lines) > 1 and not (is_a_wide and is_b_wide):
            self.later.append(Meet(a, b))
        else:
            self.pairs.append(meeting(a, b))
        if is_a_wide == is_b_wide:
            return expand(a if lines[0] >= lines[1] else b, shape)
        return expand(a if is_a_wide else b, shape)

    def meet_weight(self, ids: Ids, weight: Weight) -> Ids:
        """Relates a tensor to a parameter it meets elementwise, such as a layer scale."""
        rank = max(ids.dim(), len(weight.shape))
        ids = ids[(None,) * (rank - ids.dim())]
        ahead = rank - len(weight.shape)
        sizes = (1,) * ahead + weight.shape
        lines = [d for d in varying(ids) if sizes[d] > 1]
        if len(varying(ids)) > 1 and lines:
            own = self.new(*[sizes[d] if d in lines else 1 for d in range(ahead, rank)])
            self.attach(weight, own)
            self.later.append(Meet(ids, own[(None,) * ahead]))
        elif lines:
            self.attach(weight, compress(ids)[(0,) * ahead])
        elif not varying(ids) and any(n == 1 < m for n, m in zip(ids.shape, sizes, strict=True)):
            self.fix(ids)
        return expand(ids, tuple(torch.broadcast_shapes(ids.shape, sizes)))

    def reach(self, node: Node) -> Ids:
        """Gives all ids that go into a call or come out of it."""
        if node not in self.reached:
            values = [self.values[n] for n in (*node.all_input_nodes, node)]
            flat = [v for value in values for v in (value if isinstance(value, list) else [value])]
            names = [name for v in flat if isinstance(v, Weight) for name, _ in v.parts]
            flat += [self.tables[name] for name in names if name in self.tables]
            lines = [packed(v).reshape(-1) for v in flat if isinstance(v, Tensor)]
            self.reached[node] = torch.cat([fixed((1,)), *lines]).unique()
        return self.reached[node]

    def refuse(self, call: Call) -> Any:
        """An operator that is not understood: what goes in and what comes out stays."""
        for value in self.tensors(call):
            reason = "ids cannot be followed through this operator"
            self.stop(call.node, reason, self.ids(value))
        out = call.node.meta.get("val")
        if isinstance(out, list | tuple):
            return [fixed(self.shape(value)) for value in out]
        return fixed(self.shape(out))

    def tensors(self, call: Call) -> list[Ids | Weight]:
        """Ids of every tensor among a call's arguments."""
        leaves = tree_leaves(call.arguments, is_leaf=lambda leaf: isinstance(leaf, Weight))
        return [leaf for leaf in leaves if isinstance(leaf, Tensor | Weight)]


def arguments_of(node: Node, values: Any) -> dict[str, Any]:
    """Names a call's arguments by its schema, defaults included."""
    schema = node.target._schema  # type: ignore[union-attr]  # noqa: SLF001
    named = {a.name: a.default_value for a in schema.arguments if a.has_default_value()}
    named.update(zip((a.name for a in schema.arguments), values[0], strict=False))
    return {**named, **values[1]}


def _lay(ids: Ids, axis: int, rank: int) -> Ids:
    """Lays one axis of ids along `axis` of a tensor of `rank` axes."""
    return ids.view([-1 if d == axis % rank else 1 for d in range(rank)])
