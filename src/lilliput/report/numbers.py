"""Measurements as people read them: percent points, milliseconds, intervals."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from lilliput.core import Measurement
from lilliput.core.amounts import short

__all__ = [
    "MetricStyle",
    "count_text",
    "interval_text",
    "ms_text",
    "times_text",
]


def count_text(value: float) -> str:
    """A count as thousands or millions: 41.2 M."""
    if value < 1000:
        return f"{value:.0f}"
    return f"{short(value / 1e3)} k" if value < 999_500 else f"{short(value / 1e6)} M"


def ms_text(value: float) -> str:
    """Milliseconds."""
    return f"{short(value)} ms"


def times_text(value: float) -> str:
    """A ratio: 3.1x."""
    return (
        f"{value:.0f}x" if value >= 99.5 else f"{value:.1f}x" if value >= 0.95 else f"{value:.2f}x"
    )


def interval_text(low: float | None, high: float | None, digits: int | None = None) -> str:
    """`(0.12 to 0.50)`, or "" where an end is missing."""
    if low is None or high is None:
        return ""
    ends = [short(end) if digits is None else f"{end:.{digits}f}" for end in (low, high)]
    return f"({ends[0]} to {ends[1]})"


@dataclass(frozen=True)
class MetricStyle:
    """How a task's metric is written.

    Args:
        name: Of the metric.
        is_share: It lies between 0 and 1: written in percent, its differences in points.
        higher_is_better: Which way it gets better.
    """

    name: str
    is_share: bool
    higher_is_better: bool = True

    @classmethod
    def of(cls, name: str, values: Iterable[float], higher_is_better: bool = True) -> "MetricStyle":
        """Takes a metric that is better when higher as a share if all its values lie in [0, 1]."""
        seen = list(values)
        is_share = higher_is_better and bool(seen) and all(0 <= value <= 1 for value in seen)
        return cls(name, is_share, higher_is_better)

    @property
    def factor(self) -> float:
        """What a value is multiplied with before it is shown."""
        return 100.0 if self.is_share else 1.0

    @property
    def axis(self) -> str:
        """Title of an axis of the metric."""
        way = "" if self.higher_is_better else " (lower is better)"
        return f"{self.name}, %" if self.is_share else f"{self.name}{way}"

    def value(self, value: float) -> str:
        """The metric: `91.73 %`."""
        return f"{100 * value:.2f} %" if self.is_share else f"{value:.4g}"

    def difference(self, value: float) -> str:
        """A difference of two: `0.31`, in points for a share; never `-0.00`."""
        return (
            f"{100 * value + 0.0:.2f}".replace("-0.00", "0.00") if self.is_share else f"{value:.3g}"
        )

    @property
    def points(self) -> str:
        """The unit of a difference, with a space before it; "" where it is the metric's own."""
        return " points" if self.is_share else ""

    def limit(self, value: float) -> str:
        """A limit on a drop, as short as it was given: `1 point`."""
        if not self.is_share:
            return f"{value:g}"
        return f"{100 * value:g} point{'' if math.isclose(value, 0.01) else 's'}"

    def drop(self, drop: Measurement) -> str:
        """A drop with its interval: `0.31 points (0.12 to 0.50)`."""
        text = f"{self.difference(drop.value)}{self.points}"
        if drop.low is None or drop.high is None:
            return text
        return f"{text} ({self.difference(drop.low)} to {self.difference(drop.high)})"
