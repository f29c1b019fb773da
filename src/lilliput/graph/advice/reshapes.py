"""Cheaper layers in a layer's place: of low rank, separable, or with a smaller kernel."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from lilliput.graph.advice.entry import Action, Advice, Whole
from lilliput.graph.graph import Graph

__all__ = ["reshapes"]

_Layer = nn.Linear | nn.Conv1d | nn.Conv2d
# those of another class may compute something else, or be read by the module around them
_TYPES = (nn.Linear, nn.Conv1d, nn.Conv2d)
_SMALL = 3


@dataclass(frozen=True)
class _Weight:
    """A layer's weight.

    Args:
        name: The layer's.
        outs: Filters.
        ins: Channels that each filter reads.
        kernel: Its sizes; empty for a linear layer.
        element_bytes: Of each element.
        positions: How often one example multiplies each element.
    """

    name: str
    outs: int
    ins: int
    kernel: tuple[int, ...]
    element_bytes: int
    positions: int

    @property
    def count(self) -> int:
        """Its elements."""
        return self.outs * self.ins * math.prod(self.kernel)


def reshapes(graph: Graph, whole: Whole) -> Iterator[Advice]:
    """Layers that could be others, where that saves 1 % of the whole."""
    for layer, weight in _weights(graph, whole):
        is_dense = not isinstance(layer, nn.Conv1d | nn.Conv2d) or layer.groups == 1
        if is_dense:
            yield from _factorized(weight, whole)
        if is_dense and weight.ins > 1 and math.prod(weight.kernel) > 1:
            kernel = math.prod(weight.kernel)
            left = weight.ins * (kernel + weight.outs)
            what = f"depthwise {_times(weight.kernel)} and 1x1 in its place"
            yield from _told(weight, "separate", left, what, whole)
        if isinstance(layer, nn.Conv1d | nn.Conv2d) and _shrinks(layer):
            small = tuple(min(_SMALL, size) for size in weight.kernel)
            left = weight.outs * weight.ins * math.prod(small)
            what = f"kernel {_times(small)} in place of {_times(weight.kernel)}"
            yield from _told(weight, "shrink", left, what, whole)


def _factorized(weight: _Weight, whole: Whole) -> Iterator[Advice]:
    """Filters of fewer outputs and 1x1 on top, or two matrices, at half the MACs.

    Source: Zhang et al. 2016, "Accelerating Very Deep Convolutional Networks for Classification
    and Detection", low-rank approximation of responses; for matrices this is the truncated
    singular value decomposition.
    """
    for_each = weight.ins * math.prod(weight.kernel) + weight.outs
    rank = weight.count // 2 // for_each
    if rank:
        what = f"rank {rank} of {min(weight.outs, for_each - weight.outs)}"
        yield from _told(weight, "factorize", rank * for_each, what, whole)


def _told(weight: _Weight, action: Action, left: int, what: str, whole: Whole) -> Iterator[Advice]:
    """Says what is saved if so many elements are left."""
    gone = weight.count - left
    saved_bytes, saved_macs = gone * weight.element_bytes, gone * weight.positions
    if whole.is_worth(saved_bytes, saved_macs):
        text = f"{what}: {whole.saving_text(saved_bytes, saved_macs)}"
        yield Advice(weight.name, action, saved_bytes, saved_macs, text)


def _weights(graph: Graph, whole: Whole) -> Iterator[tuple[_Layer, _Weight]]:
    """Layers that could be replaced: with a weight of their own, stored as it is."""
    macs: dict[str, int] = defaultdict(int)
    for row in whole.rows:
        macs[row.name.partition("@")[0]] += row.macs
    module = graph.model.module
    modules = dict(module.named_modules())
    uses = Counter(id(p) for _, p in module.named_parameters(remove_duplicate=False))
    for row in whole.rows:
        layer, weight = modules.get(row.name), whole.tensors.get(f"{row.name}.weight")
        if weight is None or type(layer) not in _TYPES or row.weight_bytes < weight.nbytes:
            continue
        if uses[id(weight)] > 1:  # it would still be stored for another layer
            continue
        assert isinstance(layer, _Layer)  # noqa: S101  one of those types
        outs, ins, *kernel = weight.shape
        positions = macs[row.name] // weight.numel()
        yield layer, _Weight(row.name, outs, ins, tuple(kernel), weight.element_size(), positions)


def _shrinks(layer: nn.Conv1d | nn.Conv2d) -> bool:
    """Whether a kernel of 3 and less padding would give an output of the same size."""
    pairs = zip(layer.kernel_size, layer.dilation, strict=True)
    rims = [max(0, size - _SMALL) * step for size, step in pairs]
    is_even = all(rim % 2 == 0 for rim in rims)
    padding = layer.padding if isinstance(layer.padding, tuple) else rims
    return any(rims) and is_even and all(2 * p >= r for p, r in zip(padding, rims, strict=True))


def _times(sizes: tuple[int, ...]) -> str:
    return "x".join(map(str, sizes))
