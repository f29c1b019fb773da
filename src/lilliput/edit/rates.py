"""How much denser each map becomes once a stride is taken out, followed through the network."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import fx

from lilliput.core import PassError, UnsupportedError
from lilliput.edit.changes import Change, Pair
from lilliput.graph import Graph, operator_of, owner_of, shape_of
from lilliput.graph.flow import arguments_of
from lilliput.graph.weights import weights_of

__all__ = ["Rates", "follow_rates"]

_SAME: Pair = (1, 1)

_BROADCASTING = ("add", "add_", "div", "mul", "mul_", "sub")

_ELEMENTWISE = (
    "alias",
    "batch_norm",
    "cat",
    "clamp",
    "clone",
    "contiguous",
    "detach",
    "dropout",
    "elu",
    "exp",
    "feature_dropout",
    "gelu",
    "hardsigmoid",
    "hardswish",
    "hardswish_",
    "hardtanh",
    "hardtanh_",
    "leaky_relu",
    "leaky_relu_",
    "mish",
    "neg",
    "pow",
    "prelu",
    "relu",
    "relu6",
    "relu_",
    "sigmoid",
    "silu",
    "silu_",
    "softplus",
    "sqrt",
    "tanh",
)


@dataclass(eq=False)
class Rates:
    """What is found on the way.

    Args:
        opened: Names of convolutions whose stride becomes 1.
        closer: The layer that takes the stride over; "" where all that follows is dilated instead.
        constants: Weights, and what is computed from them alone, each with what it comes from.
        rates: How many positions there are now for one before, over height and width.
        changes: Of each call.
        sources: What opened convolutions read, and slices of it.
    """

    opened: frozenset[str]
    closer: str
    constants: Mapping[fx.Node, Mapping[str, int]]
    rates: dict[fx.Node, Pair] = field(default_factory=dict)
    changes: dict[fx.Node, Change] = field(default_factory=dict)
    sources: set[fx.Node] = field(default_factory=set)

    def rate(self, node: fx.Node) -> Pair:
        """Of what a call reads: the one rate of its maps.

        Raises:
            PassError: Two maps of different sizes would meet.
        """
        maps = [n for n in node.all_input_nodes if n not in self.constants and _is_map(n)]
        found = {self.rates.get(n, _SAME) for n in maps}
        if len(found) > 1:
            raise PassError(
                f"maps of different sizes would meet at {_place(node)}; a convolution with the "
                "same stride on the other way there has to change, too: DilateInstead takes several"
            )
        return found.pop() if found else _SAME


def follow_rates(graph: Graph, opened: frozenset[str], closer: str = "") -> Rates:
    """Takes strides out, and finds what has to change in what follows.

    Args:
        graph: It is not changed.
        opened: Names of convolutions whose stride becomes 1.
        closer: The layer that takes the stride over; "" where all that follows is dilated instead.

    Raises:
        PassError: Maps of different sizes would meet, or the network's output would change size.
        UnsupportedError: An operator on the way cannot work on a larger map.
    """
    found = Rates(opened, closer, weights_of(graph).constants)
    if not closer:
        found.sources = {node.all_input_nodes[0] for node in _convolutions(graph, opened)}
    for node in graph.nodes:
        rule = _RULES.get(operator_of(node), _elsewhere)
        found.rates[node] = rule(found, node)
    output = next(node for node in graph.program.graph.nodes if node.op == "output")
    for node in output.all_input_nodes:
        if found.rates.get(node, _SAME) != _SAME:
            raise PassError(
                "the network's output would be larger; only networks that pool over the whole map, "
                "or get the stride back, can do without it here"
            )
    return found


def _convolutions(graph: Graph, names: frozenset[str]) -> Iterator[fx.Node]:
    return (n for n in graph.nodes if operator_of(n) == "conv2d" and owner_of(n) in names)


def _convolution(found: Rates, node: fx.Node) -> Pair:
    named = _arguments(node)
    rate, stride = found.rate(node), _pair(named["stride"])
    if owner_of(node) in found.opened:
        change = Change(stride=_SAME) if found.closer else _dilated(node, rate, _SAME)
        found.changes[node] = change
        return rate[0] * stride[0], rate[1] * stride[1]
    return _windowed(found, node, rate)


def _max_pool(found: Rates, node: fx.Node) -> Pair:
    named, rate = _arguments(node), found.rate(node)
    if rate != _SAME and not found.closer:
        pads, kernel = _pair(named["padding"]), _pair(named["kernel_size"])
        fits = all(p * r <= k // 2 for p, r, k in zip(pads, rate, kernel, strict=True))
        if named["ceil_mode"] or not fits:
            raise UnsupportedError(
                f"{_place(node)} cannot be dilated: PyTorch allows no padding above half the kernel"
            )
    return _windowed(found, node, rate)


def _average_pool(found: Rates, node: fx.Node) -> Pair:
    rate = found.rate(node)
    if rate != _SAME and not found.closer:
        before, after = _sizes(node.all_input_nodes[0]), _sizes(node)
        if after != (1, 1) or _pair(_arguments(node)["kernel_size"]) != before:
            raise UnsupportedError(
                f"{_place(node)} averages over a part of the map and cannot be dilated"
            )
        found.changes[node] = Change(is_whole=True)
        return _SAME
    return _windowed(found, node, rate)


def _windowed(found: Rates, node: fx.Node, rate: Pair) -> Pair:
    """A convolution or pool that reads a denser map, or takes the stride over."""
    if found.closer and owner_of(node) == found.closer:
        stride = _pair(_arguments(node)["stride"] or _arguments(node)["kernel_size"])
        found.changes[node] = Change(stride=(stride[0] * rate[0], stride[1] * rate[1]))
        return _SAME
    if rate != _SAME and not found.closer:
        found.changes[node] = _dilated(node, rate, None)
    return rate


def _dilated(node: fx.Node, rate: Pair, stride: Pair | None) -> Change:
    named = _arguments(node)
    dilation = _pair(named["dilation"])
    wider = dilation[0] * rate[0], dilation[1] * rate[1]
    if named["padding"] == "valid":
        return Change(stride=stride, dilation=wider)
    if named["padding"] == "same":
        kernel = shape_of(named["weight"])[2:]
        if any(d * (k - 1) % 2 for d, k in zip(dilation, kernel, strict=True)):
            raise UnsupportedError(f"{_place(node)} pads unevenly and cannot be dilated")
        return Change(stride=stride, dilation=wider)
    pads = _pair(named["padding"])
    return Change(stride, (pads[0] * rate[0], pads[1] * rate[1]), wider)


def _whole(found: Rates, node: fx.Node) -> Pair:
    """What reduces the map to one position does so whatever its size."""
    rate = found.rate(node)
    is_one_position = _sizes(node) == (1, 1) or len(shape_of(node)) < 4
    if rate == _SAME or (is_one_position and not found.closer):
        return _SAME
    return _elsewhere(found, node)


def _slice(found: Rates, node: fx.Node) -> Pair:
    named = _arguments(node)
    rate, axis, step = list(found.rate(node)), named["dim"] % 4, named["step"]
    source = node.all_input_nodes[0]
    is_beside = source in found.sources
    if is_beside:  # a shortcut that takes every second position beside an opened convolution
        found.sources.add(node)
    if axis not in (2, 3) or len(shape_of(node)) != 4:
        return rate[0], rate[1]
    is_from_first = named["start"] in (None, 0) and (named["end"] or 0) >= 2**31
    if is_beside and step > 1 and is_from_first:
        found.changes[node] = Change(step=1)
        rate[axis - 2] *= step
    elif tuple(rate) != _SAME and not is_from_first:
        return _elsewhere(found, node)
    return rate[0], rate[1]


def _pad(found: Rates, node: fx.Node) -> Pair:
    rate = found.rate(node)
    is_of_channels = not any(_arguments(node)["pad"][:4])
    return rate if rate == _SAME or is_of_channels else _elsewhere(found, node)


def _elementwise(found: Rates, node: fx.Node) -> Pair:
    return found.rate(node)


def _broadcasting(found: Rates, node: fx.Node) -> Pair:
    """Elementwise, where a constant may be a map, too."""
    rate = found.rate(node)
    for source in node.all_input_nodes:
        sizes = shape_of(source)[-2:] if source in found.constants else ()
        if any(n > 1 < r for n, r in zip(reversed(sizes), reversed(rate), strict=False)):
            names = ", ".join(map(repr, found.constants[source])) or "a constant"
            raise UnsupportedError(
                f"{_place(node)} would read a larger map, and {names} of shape "
                f"{list(shape_of(source))} does not grow with it"
            )
    return rate


def _elsewhere(found: Rates, node: fx.Node) -> Pair:
    if any(found.rates.get(n, _SAME) != _SAME for n in node.all_input_nodes):
        raise UnsupportedError(
            f"{_place(node)} would read a larger map; what lies between must be convolutions, "
            "pools, norms and elementwise operators"
        )
    return _SAME


_RULES: Mapping[str, Callable[[Rates, fx.Node], Pair]] = {
    **dict.fromkeys(_BROADCASTING, _broadcasting),
    **dict.fromkeys(_ELEMENTWISE, _elementwise),
    "conv2d": _convolution,
    "max_pool2d": _max_pool,
    "avg_pool2d": _average_pool,
    **dict.fromkeys(("adaptive_avg_pool2d", "adaptive_max_pool2d", "mean", "amax"), _whole),
    "slice": _slice,
    "pad": _pad,
}


def _arguments(node: fx.Node) -> dict[str, Any]:
    return arguments_of(node, (node.args, node.kwargs))


def _pair(value: Any) -> Pair:
    items = [int(item) for item in (value if isinstance(value, list | tuple) else (value,))]
    return items[0], items[-1]


def _sizes(node: fx.Node) -> tuple[int, ...]:
    return shape_of(node)[2:]


def _is_map(node: fx.Node) -> bool:
    """Whether a node gives more than one position of each channel."""
    return len(shape_of(node)) == 4 and _sizes(node) != (1, 1)


def _place(node: fx.Node) -> str:
    owner = owner_of(node)
    return f"{operator_of(node)} of {owner!r}" if owner else operator_of(node)
