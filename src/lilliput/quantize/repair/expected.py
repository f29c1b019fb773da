"""What a tensor is on average, from the statistics that folded BatchNorm layers left behind."""

import math
from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, fx
from torch.fx import Node

from lilliput.graph import shape_of
from lilliput.quantize.beside.lockstep import weighted
from lilliput.quantize.numbers.fake import FakeQuantize
from lilliput.quantize.placing.insert import layer_of
from lilliput.quantize.placing.open_layers import operator_kind
from lilliput.quantize.repair.channel_paths import clip_limits

__all__ = ["ExpectedMeans", "clipped_mean"]

_Channels = Float[Tensor, " channels"]

_KEEP_MEANS = frozenset(
    {"dropout", "clone", "contiguous", "alias", "detach", "adaptive_avg_pool1d"}
    | {"adaptive_avg_pool2d", "mean", "flatten", "view", "reshape", "_unsafe_view"}
)


class ExpectedMeans:
    """Means of tensors in a captured network with quantizers.

    Args:
        module: Whose layers have `output_mean` and `output_deviation` where those are known.
    """

    def __init__(self, module: fx.GraphModule) -> None:
        self.module = module
        self._statistics: Mapping[Node, tuple[Tensor, Tensor]] = dict(_known(module))

    def of(self, node: Node) -> Float[Tensor, "..."] | None:
        """A tensor of the node's shape, but for a batch of one, of means; None if not known."""
        means = self._means(node)
        shape = shape_of(node)[1:]
        if means is None or not shape or means.numel() == 0 or shape[0] % len(means):
            return None
        spread = means.repeat_interleave(shape[0] // len(means))
        return spread.view(1, -1, *[1] * (len(shape) - 1)).expand(1, *shape)

    def _means(self, node: Node) -> _Channels | None:
        """By channels, which lie on axis 1."""
        if node in self._statistics:
            return self._statistics[node][0]
        kind = operator_kind(self.module, node)
        source = node.args[0] if node.args else None
        if not isinstance(source, Node):
            return None
        if self._is_quantizer(node) or (kind in _KEEP_MEANS and _keeps_channels(source, node)):
            return self._means(source)
        limits = (0.0, math.inf) if kind == "relu" else clip_limits(self.module, node)
        if limits is None:
            return None
        while self._is_quantizer(source):
            source = source.all_input_nodes[0]
        return (
            clipped_mean(*self._statistics[source], *limits) if source in self._statistics else None
        )

    def _is_quantizer(self, node: Node) -> bool:
        if node.op != "call_module":
            return False
        return isinstance(self.module.get_submodule(str(node.target)), FakeQuantize)


def clipped_mean(mean: _Channels, deviation: _Channels, low: float, high: float) -> _Channels:
    """The mean of a normal variable that is clipped to `low` to `high`.

    Source: Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias
    Correction", eq. 19 and appendix C.
    """
    mean, deviation = mean.double(), deviation.double().clamp_min(1e-12)
    below, above = ((end - mean) / deviation for end in (low, high))
    density = [torch.exp(-x.square() / 2) / math.sqrt(2 * math.pi) for x in (below, above)]
    share = [torch.special.ndtr(x) for x in (below, above)]
    inner = mean * (share[1] - share[0]) + deviation * (density[0] - density[1])
    ends = [0.0 if math.isinf(end) else end for end in (low, high)]
    clipped: Tensor = inner + ends[0] * share[0] + ends[1] * (1 - share[1])
    return clipped


def _known(module: fx.GraphModule) -> list[tuple[Node, tuple[Tensor, Tensor]]]:
    found, parts = [], dict(module.named_modules())
    for node, _ in weighted(module):
        holder = parts.get(layer_of(node))
        mean = getattr(holder, "output_mean", None)
        deviation = getattr(holder, "output_deviation", None)
        if not isinstance(mean, Tensor) or not isinstance(deviation, Tensor):
            continue
        if len(mean) == shape_of(node)[1]:  # channels may have been pruned since
            found.append((node, (mean, deviation)))
    return found


def _keeps_channels(before: Node, after: Node) -> bool:
    """Whether axis 1 has the same channels, or all that follows it as well."""
    old, new = shape_of(before), shape_of(after)
    if len(old) < 2 or len(new) < 2 or old[0] != new[0]:
        return False
    return new[1] == old[1] or (len(new) == 2 and new[1] == math.prod(old[1:]))
