"""What values a network's channels take, seen on examples."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx import Node

from lilliput.core import PassError
from lilliput.graph import owner_of

__all__ = ["channel_ranges"]


@torch.no_grad()
def channel_ranges(
    module: fx.GraphModule, axes: Mapping[Node, int | None], batches: Iterable[tuple[Tensor, ...]]
) -> dict[Node, tuple[Tensor, Tensor]]:
    """The least and the largest value of each channel, of each tensor.

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
        self.seen: dict[Node, tuple[Tensor, Tensor]] = {}

    def run_node(self, n: Node) -> Any:
        value = super().run_node(n)
        if n in self.axes:
            axis = self.axes[n]
            rows = value[None] if axis is None else value.transpose(0, axis)
            low, high = rows.float().flatten(1).aminmax(dim=1)
            if not (low.isfinite().all() and high.isfinite().all()):
                where = owner_of(n) or n.name
                raise PassError(
                    f"calibration: NaN or infinite values at {where!r}; is one in the inputs, "
                    "or in a weight?"
                )
            before = self.seen.get(n, (low, high))
            self.seen[n] = torch.minimum(low, before[0]), torch.maximum(high, before[1])
        return value
