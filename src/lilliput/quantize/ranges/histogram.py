"""Counts of real values in bounded memory: the bins widen when a larger value comes."""

import math

import torch
from torch import Tensor

__all__ = ["Histogram"]

_BINS = 1 << 14
"""At least 32 for each code of eight bits, so that where in its bin a value lies hardly matters."""
_SMALLEST = 1e-12
"""What is nearer to zero than this counts as zero."""


class Histogram:
    """Equal bins, symmetric about zero, whose width doubles until the largest value fits."""

    def __init__(self) -> None:
        self.counts = torch.zeros(_BINS, dtype=torch.float64)
        self.width = 0.0
        self.low, self.high = math.inf, -math.inf

    def add(self, values: Tensor) -> None:
        """Counts all values of a tensor; they must be finite.

        Raises:
            ValueError: A value is NaN or infinite.
        """
        flat = values.detach().float().flatten()
        if not flat.numel():
            return
        low, high = (float(end) for end in flat.aminmax())
        if not math.isfinite(high - low):
            raise ValueError("a value is NaN or infinite")
        self.low, self.high = min(self.low, low), max(self.high, high)
        largest = max(-self.low, self.high, _SMALLEST)
        while self.width * _BINS / 2 < largest:
            self._widen(largest)
        end = self.width * _BINS / 2
        self.counts += torch.histc(flat, _BINS, -end, end).double()

    def _widen(self, largest: float) -> None:
        if self.width == 0.0:
            self.width = 2.0 ** math.ceil(math.log2(2 * largest / _BINS))
            return
        merged = self.counts.view(-1, 2).sum(1)
        self.counts = torch.zeros_like(self.counts)
        self.counts[_BINS // 4 : 3 * _BINS // 4] = merged
        self.width *= 2

    @property
    def centers(self) -> Tensor:
        """The real in the middle of each bin."""
        return (torch.arange(_BINS, dtype=torch.float64) - _BINS / 2 + 0.5) * self.width

    def quantile(self, share: float) -> float:
        """The real below which `share` of the values lie, within a bin's width."""
        total = self.counts.cumsum(0)
        position = int(torch.searchsorted(total, share * total[-1]).clamp_max(_BINS - 1))
        return min(max(float(self.centers[position]), self.low), self.high)
