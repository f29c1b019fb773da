"""Weight sharing: each layer's weights take few values, which training may move."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Shaped, UInt8
from torch import Tensor, nn
from torch.nn.utils import parametrize

from lilliput.core import Model, PassError, Stage, Task, UnsupportedError
from lilliput.core.progress import track
from lilliput.core.spelling import did_you_mean
from lilliput.quantize.beside.distance import distance_of
from lilliput.quantize.beside.lockstep import small_batches
from lilliput.quantize.sharing.kmeans import centroids_of

__all__ = ["ClusterWeights", "Palette", "SharedWeight", "palettes", "spell_out_zeros", "write_out"]

_LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.Linear)
_PRUNED = 0.1
"""From this share of zeros on a layer is taken as pruned: training alone leaves next to none."""


class Palette(nn.Module):
    """A parametrization: from a layer's values to its weight, by the codes that are fixed here.

    The gradient of a value is the sum of those of all weights that have it.

    Args:
        codes: Of each weight, which value it has. With a zero kept, code 0 is zero, and values
            begin at code 1.
        keeps_zero: Whether there is a zero that training does not move.

    Source: Han et al. 2016, "Deep Compression", section 3.3.
    """

    codes: Tensor

    def __init__(self, codes: UInt8[Tensor, "..."], keeps_zero: bool) -> None:
        super().__init__()
        self.keeps_zero = keeps_zero
        self.register_buffer("codes", codes)

    def forward(self, values: Float[Tensor, "*palettes values"]) -> Float[Tensor, "..."]:
        palette = self.palette(values)
        codes = self.codes.long()
        if palette.dim() == 1:
            return palette.index_select(0, codes.flatten()).view(codes.shape)
        return palette.gather(1, codes.flatten(1)).view(codes.shape)

    def palette(
        self, values: Float[Tensor, "*palettes values"]
    ) -> Float[Tensor, "*palettes entries"]:
        """The value of each code."""
        return nn.functional.pad(values, (1, 0)) if self.keeps_zero else values


@dataclass(frozen=True, eq=False)
class SharedWeight:
    """A weight as few values and the code of each of its numbers.

    Args:
        codes: Which value each number has.
        values: Of the whole weight, or one row for each channel of its first axis.
    """

    codes: UInt8[Tensor, "..."]
    values: Float[Tensor, "*palettes entries"]


def palettes(module: nn.Module) -> dict[str, SharedWeight]:
    """Every weight that `ClusterWeights` made, by its name in the network."""
    found = {}
    for name, weight, palette, values in _shared(module):
        full = f"{name}.{weight}" if name else weight
        found[full] = SharedWeight(palette.codes, palette.palette(values).detach())
    return found


def write_out(module: nn.Module) -> None:
    """Makes every weight that shares values a plain one, for what cannot look values up."""
    for name, weight, palette, values in list(_shared(module)):
        _set(module.get_submodule(name), weight, nn.Identity(), palette(values))


def spell_out_zeros(module: nn.Module) -> None:
    """Makes the zeros that palettes keep values like the others; for what is trained no more."""
    for name, weight, palette, values in list(_shared(module)):
        plain = Palette(palette.codes, keeps_zero=False)
        _set(module.get_submodule(name), weight, plain, palette.palette(values))


def _shared(module: nn.Module) -> Iterator[tuple[str, str, Palette, Tensor]]:
    for name, layer in module.named_modules():
        if not parametrize.is_parametrized(layer):
            continue
        parts: nn.ModuleDict = layer.parametrizations
        for weight, chain in parts.items():
            if isinstance(chain[0], Palette):  # type: ignore[index]
                values: Tensor = chain.original  # type: ignore[assignment]
                yield name, weight, chain[0], values  # type: ignore[index]


@dataclass(frozen=True)
class ClusterWeights:
    """Gives each convolution and linear layer a palette, to whose values its weights move.

    The codes stay as they are from then on; `FineTune` and `Distill` train the values. A layer of
    which a tenth of the weights are zeros or more keeps a zero, and its zeros. Layers of fewer
    distinct weights than clusters stay exactly as they are, and so do layers that share one weight.

    Args:
        clusters: Values of a palette, 2 to 256; 16 are stored in four bits each, 4 in two.
        is_per_channel: One palette for each output channel, instead of one for a layer.
        floats: Layers to leave alone; `*` stands for anything.
        task: Its validation inputs say which weights matter, where `samples` is not 0.
        samples: How many examples to weigh the weights by, without labels: by the mean square of
            the output's derivative. 0 weighs all alike.

    Source: Han et al. 2016, "Deep Compression", section 3; weighing: Choi et al. 2017, "Towards the
    Limit of Network Quantization", section 3.
    """

    stage: ClassVar[Stage] = "quantize"

    clusters: int = 16
    is_per_channel: bool = False
    floats: tuple[str, ...] = ()
    task: Task | None = None
    samples: int = 0

    def __post_init__(self) -> None:
        if not 2 <= self.clusters <= 256:
            raise ValueError(f"clusters must be 2 to 256, got {self.clusters}")
        if self.samples < 0:
            raise ValueError(f"samples must be 0 or more, got {self.samples}")
        if self.samples and self.task is None:
            raise ValueError(
                f"weighing by {self.samples} samples needs data; pass task=..., or samples=0"
            )

    def __call__(self, model: Model, /) -> Model:
        """Gives the network with a parametrization on each weight.

        Raises:
            UnsupportedError: There is no layer to cluster, or none of a name in `floats`.
            PassError: A weight is NaN or infinite.
        """
        layers = dict(_layers(model.module))
        for pattern in self.floats:
            if not any(fnmatchcase(layer, pattern) for layer in layers):
                hint = did_you_mean(pattern, layers)
                raise UnsupportedError(f"no layer to cluster is called {pattern!r}; {hint}")
        chosen = {
            name: layer
            for name, layer in layers.items()
            if not any(fnmatchcase(name, pattern) for pattern in self.floats)
        }
        if not chosen:
            raise UnsupportedError("there is nothing to cluster: no convolution or linear layer")
        importance = self._importance(model, chosen)
        for name, layer in track(chosen.items(), "cluster weights", len(chosen)):
            self._cluster(name, layer, importance.get(name))
        return model

    def _importance(self, model: Model, layers: dict[str, nn.Module]) -> dict[str, Tensor]:
        if self.task is None or not self.samples:
            return {}
        return _importance(model, layers, self.task, self.samples)

    @torch.no_grad()
    def _cluster(self, name: str, layer: nn.Module, importance: Tensor | None) -> None:
        if not parametrize.is_parametrized(layer, "weight"):
            parametrize.register_parametrization(layer, "weight", nn.Identity())
        if not hasattr(layer.parametrizations.weight, "original"):  # type: ignore[union-attr]
            raise PassError(
                f"the weight of {name!r} follows from several tensors, as weight_norm's does; "
                "remove that parametrization, or leave the layer out by floats=..."
            )
        weight: Tensor = layer.weight  # type: ignore[assignment]
        if not weight.isfinite().all():
            raise PassError(f"the weight of {name!r} is NaN or infinite")
        keeps_zero = float((weight == 0).float().mean()) >= _PRUNED
        rows = len(weight) if self.is_per_channel else 1
        lines = weight.detach().double().reshape(rows, -1).numpy()
        costs = [None] * rows if importance is None else list(importance.reshape(rows, -1).numpy())
        found = [
            _centroids(line, cost, self.clusters, keeps_zero)
            for line, cost in zip(lines, costs, strict=True)
        ]
        longest = max(len(values) for values in found)
        values = np.stack([np.pad(row, (0, longest - len(row)), "edge") for row in found])
        whole = np.pad(values, ((0, 0), (1, 0))) if keeps_zero else values
        codes = np.stack([_nearest(line, row) for line, row in zip(lines, whole, strict=True)])
        palette = Palette(torch.from_numpy(codes).view(weight.shape), keeps_zero)
        chosen = torch.from_numpy(values if self.is_per_channel else values[0])
        _set(layer, "weight", palette, chosen.to(weight.dtype))


def _layers(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Layers with a weight of their own: one that two share would no longer be shared."""
    found = [(name, part) for name, part in module.named_modules() if isinstance(part, _LAYERS)]
    owners = Counter(id(part.weight) for _, part in found if not parametrize.is_parametrized(part))
    for name, part in found:
        if part.weight.numel() and owners[id(part.weight)] <= 1:
            yield name, part


def _centroids(
    line: Shaped[np.ndarray, " numbers"],
    cost: Shaped[np.ndarray, " numbers"] | None,
    clusters: int,
    keeps_zero: bool,
) -> Shaped[np.ndarray, " values"]:
    """Of one row; where a zero is kept, it is one of the clusters, and not among the values."""
    if not keeps_zero:
        return centroids_of(line, clusters, cost)
    is_left = line != 0
    if not is_left.any():
        return np.zeros(1)
    return centroids_of(line[is_left], clusters - 1, None if cost is None else cost[is_left])


def _nearest(
    line: Shaped[np.ndarray, " numbers"], values: Shaped[np.ndarray, " entries"]
) -> Shaped[np.ndarray, " numbers"]:
    """The code of the nearest value, which need not be in order."""
    order = np.argsort(values, kind="stable")
    ends = (values[order][1:] + values[order][:-1]) / 2
    return order[np.searchsorted(ends, line)].astype(np.uint8)


def _set(layer: nn.Module, weight: str, part: nn.Module, original: Tensor) -> None:
    """Makes a tensor the parameter, from which the weight follows by one parametrization.

    The class of a parametrized layer is shared with its copies, so that parametrizations may be
    changed but not removed.
    """
    chain: parametrize.ParametrizationList = layer.parametrizations[weight]  # type: ignore[assignment, index]
    trains = chain.original.requires_grad
    for index in reversed(range(1, len(chain))):
        del chain[index]
    chain[0] = part
    chain.original = nn.Parameter(original.detach().clone(), trains)


def _importance(
    model: Model, layers: dict[str, nn.Module], task: Task, samples: int
) -> dict[str, Tensor]:
    """The mean square of the derivative of a random scalar whose covariance is the Hessian's.

    Of examples that are drawn by themselves the squares of the sum are the sum of the squares, in
    the mean. A hundredth of a layer's mean is added, so that no weight counts for nothing.
    """
    copy = model.clone()
    module = copy.module.eval().requires_grad_(True)
    weights: dict[str, Tensor] = {
        name: module.get_submodule(name).weight  # type: ignore[misc]
        for name in layers
    }
    distance, draw = distance_of(model, task), torch.Generator().manual_seed(0)
    sums = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    for batch in track(small_batches(task.calibration(samples)), "weigh the weights"):
        with torch.enable_grad():
            scalar = distance.draw(module(*batch), draw)
            slopes = torch.autograd.grad(scalar, list(weights.values()), allow_unused=True)
        for total, slope in zip(sums.values(), slopes, strict=True):
            if slope is not None:
                total.add_(slope.square())
    return {
        name: (total / total.mean().clamp_min(1e-30) + 0.01).detach().double()
        for name, total in sums.items()
    }
