"""One thing that could be done, and the whole of which it saves a share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from lilliput.core.amounts import bytes_text
from lilliput.graph.cost import LayerCost, cost
from lilliput.graph.graph import Graph

__all__ = ["Action", "Advice", "Whole", "percent_text", "whole_of"]


Action = Literal[
    "fold", "quantize", "prune", "keep", "note", "factorize", "separate", "shrink", "remove"
]


@dataclass(frozen=True)
class Advice:
    """One thing that could be done.

    Args:
        name: The layer's name in `cost`, or the module's where channels are left alone or a whole
            block could go.
        action: What kind of thing; "note" is a fact to know first. To "factorize" is to put two
            layers of low rank in a layer's place, to "separate" a depthwise and a 1x1 convolution,
            to "shrink" a kernel of 3; to "remove" takes a block away.
        saved_bytes: Of weights as they are stored.
        saved_macs: For one example, in layers with weights; attention may save more.
        text: A short sentence, with numbers.
    """

    name: str
    action: Action
    saved_bytes: int
    saved_macs: int
    text: str


@dataclass(frozen=True, eq=False)
class Whole:
    """A network's layers and their sums, and its parameters and buffers by name."""

    rows: Sequence[LayerCost]
    tensors: Mapping[str, Tensor]

    @property
    def weight_bytes(self) -> int:
        """Of all weights, at least 1."""
        return max(1, sum(row.weight_bytes for row in self.rows))

    @property
    def macs(self) -> int:
        """Of all layers, at least 1."""
        return max(1, sum(row.macs for row in self.rows))

    def saving_text(self, saved_bytes: int, saved_macs: int) -> str:
        """The end of a sentence."""
        of_macs = percent_text(saved_macs / self.macs)
        return f"{bytes_text(saved_bytes)} less, {of_macs} of all MACs less"

    def is_worth(self, saved_bytes: int, saved_macs: int) -> bool:
        """Whether one layer's saving is at least 1 % of all bytes or MACs, and neither grows."""
        share = max(saved_bytes / self.weight_bytes, saved_macs / self.macs)
        return share >= 0.01 and min(saved_bytes, saved_macs) >= 0


def whole_of(graph: Graph) -> Whole:
    """Looks at the network once, for all advice."""
    module = graph.model.module
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    return Whole(cost(graph), tensors)


def percent_text(share: float) -> str:
    """A share, 0 to 1, in words."""
    return "under 1 %" if 0 < share < 0.01 else f"{100 * share:.0f} %"
