"""What layers read, as means of products: least squares need nothing else of the examples.

For a layer that gives `W x`, other weights `V` cost the mean squared error
`tr (V - W) E[x x'] (V - W)'`, so thousands of positions of hundreds of examples shrink to a matrix
as wide as a filter.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lilliput.core import UnsupportedError
from lilliput.core.modes import in_eval_mode
from lilliput.graph.columns import columns, geometry_of

__all__ = ["Moments", "input_moments"]

_MOST_NUMBERS = 2**23
"""Of the columns that are held at a time: 32 MB."""

Layer = nn.Linear | nn.Conv1d | nn.Conv2d


@dataclass(frozen=True, eq=False)
class Moments:
    """Means over all positions of all examples, for each group of a layer, in double.

    Args:
        second: `x x'`.
        mean: `x`.
        count: How many positions of how many examples.
    """

    second: Float[Tensor, "groups fan fan"]
    mean: Float[Tensor, "groups fan"]
    count: int

    @property
    def covariance(self) -> Float[Tensor, "groups fan fan"]:
        """The second moment about the mean: what counts where a bias can take up means."""
        return self.second - self.mean[:, :, None] * self.mean[:, None, :]

    def ridged(self, damping: float) -> Float[Tensor, "groups fan fan"]:
        """The second moment with a share of its mean diagonal added, so that it has an inverse."""
        ridged = self.second.clone()
        diagonal = ridged.diagonal(dim1=1, dim2=2)
        diagonal += damping * diagonal.mean(1, keepdim=True).clamp_min(1e-12)
        return ridged


def input_moments(
    module: nn.Module, layers: Sequence[str], batches: Iterable[tuple[Tensor, ...]]
) -> dict[str, Moments]:
    """Runs the network on the batches and sums up what each named layer reads.

    Args:
        module: Run in eval mode, and left as it was.
        layers: Names of linear layers and convolutions over one or two axes.
        batches: Inputs of the network, as `Task.calibration` gives them.

    Raises:
        UnsupportedError: A layer is of another kind, pads with something else than zeros, or did
            not run.
    """
    modules = dict(module.named_modules())
    for name in layers:
        _check(name, modules.get(name))
    sums: dict[str, _Sums] = {}
    chosen = {name: modules[name] for name in layers}
    with in_eval_mode(module), torch.no_grad(), _summed(chosen, sums):
        for inputs in batches:
            module(*inputs)
    missing = [name for name in layers if name not in sums]
    if missing:
        raise UnsupportedError(f"{missing[0]!r} did not run, so nothing is known of what it reads")
    return {name: total.moments() for name, total in sums.items()}


def _check(name: str, layer: nn.Module | None) -> None:
    if not isinstance(layer, Layer):
        kind = "no layer" if layer is None else type(layer).__name__
        raise UnsupportedError(
            f"{name!r} must be a Linear, Conv1d or Conv2d to look at what it reads, got {kind}"
        )
    mode = getattr(layer, "padding_mode", "zeros")
    if mode != "zeros":
        raise UnsupportedError(f"{name!r} pads with {mode!r}; only zeros can be followed")


class _Sums:
    """Sums of one layer while batches run; double, since there are many terms."""

    def __init__(self) -> None:
        self.count = 0
        self.second: Any = 0.0
        self.first: Any = 0.0

    def add(self, layer: Layer, x: Tensor) -> None:
        geometry = geometry_of(layer)
        copies = layer.weight[0, 0].numel() if geometry else 1
        size = max(1, _MOST_NUMBERS // max(1, x[0].numel() * copies))
        for part in x.detach().split(size):
            read = columns(part, geometry)
            self.count += read.shape[-1]
            self.second = self.second + (read @ read.mT).double()
            self.first = self.first + read.sum(-1).double()

    def moments(self) -> Moments:
        return Moments(self.second / self.count, self.first / self.count, self.count)


@contextlib.contextmanager
def _summed(layers: Mapping[str, nn.Module], sums: dict[str, _Sums]) -> Iterator[None]:
    handles = []

    def watch(name: str, layer: nn.Module) -> None:
        def read(layer: Any, inputs: tuple[Tensor, ...], named: dict[str, Tensor]) -> None:
            sums.setdefault(name, _Sums()).add(layer, inputs[0] if inputs else named["input"])

        handles.append(layer.register_forward_pre_hook(read, with_kwargs=True))

    for name, layer in layers.items():
        watch(name, layer)
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
