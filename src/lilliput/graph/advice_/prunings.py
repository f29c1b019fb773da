"""What could be done about each layer, and what it would save."""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from lilliput.core import PerTensor, QuantizationRules
from lilliput.graph.cost import LayerCost, cost
from lilliput.graph.fold import foldable
from lilliput.graph.graph import Graph
from lilliput.graph.groups import ChannelGroup, channel_groups
from lilliput.graph.macs import macs_of
from lilliput.graph.weights import weights_of

__all__ = ["Advice", "advice"]

_WITH_WEIGHTS = frozenset({"conv1d", "conv2d", "conv_transpose2d", "linear"})
# a layer stands out with this share of the whole, this many times its share of the other quantity
_MUCH, _TIMES = 0.1, 5


@dataclass(frozen=True)
class Advice:
    """One thing that could be done.

    Args:
        name: The layer's name in `cost`, or the module's where channels are left alone.
        action: What kind of thing; "note" is a fact to know first.
        saved_bytes: Of weights as they are stored.
        saved_macs: For one example, in layers with weights; attention may save more.
        text: A short sentence, with numbers.
    """

    name: str
    action: Literal["fold", "quantize", "prune", "keep", "note"]
    saved_bytes: int
    saved_macs: int
    text: str


def advice(
    graph: Graph, rules: QuantizationRules | None = None, ratio: float = 0.5
) -> tuple[Advice, ...]:
    """Gives what could be done, in the order in which the layers run.

    Args:
        graph: The network.
        rules: What the target's runtime wants of quantizers; None for the default, int8 for each
            channel.
        ratio: Share of a group's channels that pruning would remove, 0 to 1.

    Raises:
        ValueError: The ratio is not between 0 and 1.
    """
    if not 0 < ratio < 1:
        raise ValueError(f"ratio must be between 0 and 1, got {ratio}")
    rows = cost(graph)
    whole = _Whole(
        sum(row.weight_bytes for row in rows), sum(row.macs for row in rows), _tensors(graph)
    )
    found = [
        *_notes(rows, whole),
        *_folds(graph, rows),
        *_quantizations(graph, rows, rules or QuantizationRules()),
        *_prunings(graph, whole, ratio),
    ]
    place = {row.name: index for index, row in enumerate(rows)}
    return tuple(sorted(found, key=lambda entry: place.get(entry.name, len(rows))))


@dataclass(frozen=True, eq=False)
class _Whole:
    """Sums over the network, and its parameters and buffers by name."""

    weight_bytes: int
    macs: int
    tensors: Mapping[str, Tensor]


def _tensors(graph: Graph) -> dict[str, Tensor]:
    module = graph.model.module
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def _notes(rows: Sequence[LayerCost], whole: _Whole) -> Iterator[Advice]:
    for row in rows:
        of_bytes = row.weight_bytes / max(1, whole.weight_bytes)
        of_macs = row.macs / max(1, whole.macs)
        if of_bytes >= max(_MUCH, _TIMES * of_macs):
            text = (
                f"{_percent(of_bytes)} of the bytes, {_percent(of_macs)} of the MACs: here is size"
            )
        elif of_macs >= max(_MUCH, _TIMES * of_bytes):
            text = (
                f"{_percent(of_macs)} of the MACs, {_percent(of_bytes)} of the bytes: here is time"
            )
        else:
            continue
        yield Advice(row.name, "note", 0, 0, text)


def _folds(graph: Graph, rows: Sequence[LayerCost]) -> Iterator[Advice]:
    into = foldable(graph)
    for row in rows:
        if row.name in into:
            text = f"fold into {into[row.name]}: an operator and {_bytes(row.weight_bytes)} less"
            yield Advice(row.name, "fold", row.weight_bytes, 0, text)


def _quantizations(
    graph: Graph, rows: Sequence[LayerCost], rules: QuantizationRules
) -> Iterator[Advice]:
    weights = {name: p for name, p in graph.model.module.named_parameters() if p.dim() > 1}
    runs_in_integers = rules.quantized_operators or _WITH_WEIGHTS
    for row in rows:
        weight = weights.get(f"{row.name}.weight", weights.get(f"{row.name}_weight"))
        if weight is None or row.operator not in _WITH_WEIGHTS & runs_in_integers:
            continue
        channels = weight.shape[1 if "transpose" in row.operator else 0]
        scales = 4 * (1 if rules.weight.granularity == PerTensor() else channels)
        stored = math.ceil(weight.numel() * rules.weight.bits / 8) + scales
        saved = min(row.weight_bytes, weight.numel() * weight.element_size()) - stored
        if saved > 0:
            kept = f"{_bytes(saved)} of {_bytes(row.weight_bytes)} less"
            yield Advice(row.name, "quantize", saved, 0, f"int{rules.weight.bits} weights: {kept}")


def _prunings(graph: Graph, whole: _Whole, ratio: float) -> Iterator[Advice]:
    macs = _macs_by_tensor(graph)
    groups = channel_groups(graph)
    for group in groups:
        dropped = min(group.size - 1, round(ratio * group.size))
        gone = _gone(group, dropped, whole.tensors)
        if not gone:
            continue
        saved_bytes = sum(round(share * whole.tensors[n].nbytes) for n, share in gone.items())
        saved_macs = sum(round(share * macs[n]) for n, share in gone.items() if n in macs)
        of_macs = _percent(saved_macs / max(1, whole.macs))
        text = f"{dropped} of {group.size} {group.kind} fewer: {_bytes(saved_bytes)} less, "
        text += f"{of_macs} of all MACs less"
        yield Advice(group.name, "prune", saved_bytes, saved_macs, text)
    for skipped in groups.skipped:
        text = f"channels stay: {skipped.reason} ({skipped.operator})"
        yield Advice(skipped.where or skipped.operator, "keep", 0, 0, text)


def _gone(group: ChannelGroup, dropped: int, tensors: Mapping[str, Tensor]) -> dict[str, float]:
    """Share of each tensor that goes with some of the units."""
    lost: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for unit in group.units[:dropped]:
        for site in unit:
            lost[site.tensor][site.axis] += 1
    return {
        name: 1 - math.prod(1 - count / tensors[name].shape[axis] for axis, count in axes.items())
        for name, axes in lost.items()
        if name in tensors
    }


def _macs_by_tensor(graph: Graph) -> dict[str, int]:
    """MACs of the operators that use each weight; they are as many as it has elements, repeated."""
    weights = weights_of(graph)
    tensors = _tensors(graph)
    macs: dict[str, int] = defaultdict(int)
    for node in graph.nodes:
        for name in weights.of(node):
            if node not in weights.constants and name in tensors and tensors[name].dim() > 1:
                macs[name] += macs_of(node) // graph.batch
    return macs


def _percent(share: float) -> str:
    return "under 1 %" if 0 < share < 0.01 else f"{100 * share:.0f} %"


def _bytes(count: int) -> str:
    """1 kB is 1,000 bytes."""
    for unit, size in (("MB", 1_000_000), ("kB", 1000)):
        if count >= size:
            amount = count / size
            return f"{amount:,.0f} {unit}" if amount >= 100 else f"{amount:.3g} {unit}"
    return f"{count} B"
