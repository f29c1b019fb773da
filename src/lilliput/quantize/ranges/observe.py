"""Observers: from what flows past to the range that integers should cover."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from lilliput.core import IntegerType
from lilliput.quantize.numbers.affine import dequantize, quantize, scale_and_zero_point
from lilliput.quantize.ranges.histogram import Histogram

__all__ = ["Entropy", "MeanSquaredError", "MinMax", "Observer", "Percentile", "weight_range"]

Range = tuple[Tensor, Tensor]

_NEVER_ZERO = 1e-12


@runtime_checkable
class Observer(Protocol):
    """Chooses the range of an activation from the histogram of its values."""

    def range(self, seen: Histogram, kind: IntegerType, /) -> tuple[float, float]:
        """The smallest and largest real that the integers should cover."""
        ...


@dataclass(frozen=True)
class MinMax:
    """Covers all that was seen."""

    def range(self, seen: Histogram, _: IntegerType, /) -> tuple[float, float]:
        return seen.low, seen.high


@dataclass(frozen=True)
class Percentile:
    """Leaves out the rarest values on each side.

    Args:
        percentile: Share of values to cover, in percent, 50 to 100.

    Source: Wu et al. 2020, "Integer Quantization for Deep Learning Inference", section 3.3.
    """

    percentile: int | float = 99.99

    def __post_init__(self) -> None:
        if not 50 <= self.percentile <= 100:
            raise ValueError(f"percentile must be 50 to 100, got {self.percentile}")

    def range(self, seen: Histogram, _: IntegerType, /) -> tuple[float, float]:
        outside = (100 - self.percentile) / 100 / 2
        # a side without values (after a ReLU) has no tail to cut
        return seen.quantile(outside), seen.quantile(1 - outside)


@dataclass(frozen=True)
class MeanSquaredError:
    """Clips where rounding and clipping together cost least, in the square.

    Source: Nagel et al. 2021, "A White Paper on Neural Network Quantization", section 3.1.
    """

    def range(self, seen: Histogram, kind: IntegerType, /) -> tuple[float, float]:
        low, high = _shrunk(seen)
        real = seen.centers.float().expand(len(low), -1)
        scale, zero_point = scale_and_zero_point(low, high, kind)
        scale, zero_point = scale[:, None], zero_point[:, None]
        rounded = dequantize(quantize(real, scale, zero_point, kind), scale, zero_point)
        best = int((((rounded - real) ** 2) * seen.counts).sum(1).argmin())
        return float(low[best]), float(high[best])


@dataclass(frozen=True)
class Entropy:
    """Clips where the integers' distribution tells most about the reals': least KL divergence.

    Source: Migacz 2017, "8-bit Inference with TensorRT", GTC; 2,048 bins on each side of zero as
    there, because in finer ones the samples' own noise would count as information.
    """

    def range(self, seen: Histogram, kind: IntegerType, /) -> tuple[float, float]:
        counts = seen.counts.view(4096, -1).sum(1)
        centers = seen.centers.view(4096, -1).mean(1)
        low, high = _shrunk(seen)
        pairs = list(zip(low.tolist(), high.tolist(), strict=True))
        return min(pairs, key=lambda ends: _divergence(counts, centers, ends[0], ends[1], kind))


def _divergence(
    counts: Float64[Tensor, " bins"],
    centers: Float64[Tensor, " bins"],
    low: float,
    high: float,
    kind: IntegerType,
) -> float:
    """KL divergence of the clipped values from what is left of them once they are integers."""
    inside = (centers >= low) & (centers <= high)
    if not bool(inside.any()):
        return float("inf")
    kept = counts[inside]
    clipped = kept.clone()
    clipped[0] += counts[centers < low].sum()
    clipped[-1] += counts[centers > high].sum()
    point = scale_and_zero_point(torch.tensor([low]), torch.tensor([high]), kind)
    codes = quantize(centers[inside].float(), *point, kind) - kind.low
    levels = torch.zeros(kind.high - kind.low + 1, dtype=torch.float64)
    is_used = kept > 0
    mass = levels.index_add(0, codes, kept)
    width = levels.index_add(0, codes, is_used.double())
    # an integer says its mass, not where among the used bins it lies
    spread = torch.where(is_used, mass[codes] / width[codes].clamp_min(1), 0.0)
    p, q = clipped / clipped.sum(), spread / spread.sum()
    return float((p * ((p + _NEVER_ZERO) / (q + _NEVER_ZERO)).log()).sum())


def _shrunk(seen: Histogram, steps: int = 80) -> Range:
    """Candidate ranges: both ends drawn in together, down to a fifth."""
    share = torch.linspace(1.0, 0.2, steps)
    return min(seen.low, 0.0) * share, max(seen.high, 0.0) * share


def weight_range(
    weight: Float[Tensor, "channels fan"], kind: IntegerType, observer: Observer
) -> Range:
    """The range of each row of a weight.

    Outliers of a weight are weights that were learned, so rows keep their whole range, except that
    `MeanSquaredError` clips each row where that costs least.
    """
    low, high = weight.aminmax(dim=1)
    if not isinstance(observer, MeanSquaredError):
        return low, high
    best = torch.full_like(low, float("inf"))
    chosen = low, high
    for share in torch.linspace(1.0, 0.5, 51).tolist():
        scale, zero_point = scale_and_zero_point(low * share, high * share, kind)
        scale, zero_point = scale[:, None], zero_point[:, None]
        rounded = dequantize(quantize(weight, scale, zero_point, kind), scale, zero_point)
        error = ((rounded - weight) ** 2).sum(1)
        is_better = error < best
        best = torch.where(is_better, error, best)
        chosen = (
            torch.where(is_better, low * share, chosen[0]),
            torch.where(is_better, high * share, chosen[1]),
        )
    return chosen
