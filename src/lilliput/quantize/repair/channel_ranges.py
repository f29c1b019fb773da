"""What values a network's channels take, seen on examples."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, fx
from torch.fx import Node

from lilliput.core import PassError
from lilliput.graph import owner_of

__all__ = ["ChannelValues", "channel_ranges"]


class ChannelValues(NamedTuple):
    """Of each channel of a tensor.

    Args:
        low: Its least value.
        high: Its largest.
        square: The mean of its squares, each batch counting alike.
    """

    low: Float[Tensor, " channels"]
    high: Float[Tensor, " channels"]
    square: Float[Tensor, " channels"]


@torch.no_grad()
def channel_ranges(
    module: fx.GraphModule, axes: Mapping[Node, int | None], batches: Iterable[tuple[Tensor, ...]]
) -> dict[Node, ChannelValues]:
    """What values each channel of each tensor takes.

    Args:
        module: A captured network; runs in eval mode.
        axes: The tensors to watch, each with the axis of its channels; None for one channel.
        batches: Inputs.

    Raises:
        PassError: A value is NaN or infinite; names its place.
    """
    module.eval()
    watch = _Watch(module, axes)
    for inputs in batches:
        watch.run(*inputs)
    return watch.seen


class _Watch(fx.Interpreter):
    """Runs the network, and notes the ends of what it watches."""

    def __init__(self, module: fx.GraphModule, axes: Mapping[Node, int | None]) -> None:
        super().__init__(module)
        self.extra_traceback = False
        self.axes = axes
        self.seen: dict[Node, ChannelValues] = {}
        self.times: Counter[Node] = Counter()

    def run_node(self, n: Node) -> Any:
        value = super().run_node(n)
        if n in self.axes:
            axis = self.axes[n]
            rows = value[None] if axis is None else value.transpose(0, axis)
            rows = rows.float().flatten(1)
            low, high = rows.aminmax(dim=1)
            if not (low.isfinite().all() and high.isfinite().all()):
                where = owner_of(n) or n.name
                raise PassError(
                    f"calibration: NaN or infinite values at {where!r}; is one in the inputs, "
                    "or in a weight?"
                )
            square = rows.square().mean(1)
            before = self.seen.get(n, ChannelValues(low, high, square))
            self.times[n] += 1
            self.seen[n] = ChannelValues(
                torch.minimum(low, before.low),
                torch.maximum(high, before.high),
                before.square + (square - before.square) / self.times[n],
            )
        return value
