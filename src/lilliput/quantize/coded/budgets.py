"""Limits on weights that are to be coded, and the search for the price that just keeps them."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from lilliput.core import BudgetError
from lilliput.core.amounts import bytes_text, short

__all__ = ["Limit", "Trial", "search"]

_STRIDE = 2.0
"""From the first price to the next, its square to the one after, until the limit lies between."""
_MOST_STRIDES = 10
_CLOSE = 0.01
"""Share of the bytes by which neighbours may differ in the end."""
_MOST_TRIALS = 8


@dataclass(frozen=True)
class Limit:
    """The most there may be of something.

    Args:
        quantity: `distance` of outputs, `drop` of the metric, or `bytes`.
        value: The most of it.
    """

    quantity: Literal["distance", "drop", "bytes"]
    value: float


@dataclass(frozen=True)
class Trial:
    """What came of one price.

    Args:
        price: Bits that a unit of distance was worth.
        size_bytes: About those of the packed file, by the entropy of its integers.
        distance: Of the outputs.
        drop: Of the metric, positive for worse; 0 where nobody asks.
    """

    price: float
    size_bytes: float
    distance: float
    drop: float

    def keeps(self, limit: Limit) -> bool:
        """Whether it is within the limit."""
        return self.of(limit) <= limit.value

    def of(self, limit: Limit) -> float:
        """What is limited."""
        values = {"distance": self.distance, "drop": self.drop, "bytes": self.size_bytes}
        return values[limit.quantity]

    def __str__(self) -> str:
        drop = f", drop {short(self.drop)}" if self.drop else ""
        return f"{bytes_text(self.size_bytes)} at distance {short(self.distance)}{drop}"


def search(limit: Limit, start: float, attempt: Callable[[float], Trial]) -> Trial:
    """The smallest trial within a limit; of a limit on bytes, the nearest to the float network.

    Args:
        limit: What must hold.
        start: The first price.
        attempt: Tries a price; dearer distance takes more bytes.

    Raises:
        BudgetError: No price keeps the limit; says the closest and the curve.
    """
    done: list[Trial] = []
    wants_cheap = limit.quantity == "bytes"
    inside: Trial | None = None
    outside: Trial | None = None
    price = start
    while len(done) < _MOST_STRIDES and (inside is None or outside is None):
        trial = attempt(price)
        done.append(trial)
        inside, outside = (trial, outside) if trial.keeps(limit) else (inside, trial)
        stride = _STRIDE ** len(done)
        price *= stride if trial.keeps(limit) == wants_cheap else 1 / stride
    if inside is None:
        raise BudgetError(_unmet(limit, done))
    while outside is not None and len(done) < _MOST_STRIDES + _MOST_TRIALS:
        if abs(math.log((inside.size_bytes + 1) / (outside.size_bytes + 1))) < _CLOSE:
            break
        trial = attempt(_between(inside, outside, limit))
        done.append(trial)
        inside, outside = (trial, outside) if trial.keeps(limit) else (inside, trial)
    kept = [trial for trial in done if trial.keeps(limit)]
    return min(kept, key=lambda trial: trial.distance if wants_cheap else trial.size_bytes)


def _between(inside: Trial, outside: Trial, limit: Limit) -> float:
    """Where a straight line of logarithms meets the limit, well inside of both ends."""
    low, high, wanted = (max(x, 1e-12) for x in (inside.of(limit), outside.of(limit), limit.value))
    share = 0.5
    if high > low:
        share = (math.log(wanted) - math.log(low)) / (math.log(high) - math.log(low))
    share = min(max(share, 0.1), 0.9)
    return math.exp((1 - share) * math.log(inside.price) + share * math.log(outside.price))


def _unmet(limit: Limit, done: list[Trial]) -> str:
    closest = min(done, key=lambda trial: trial.of(limit))
    tried = [str(trial) for trial in sorted(done, key=lambda trial: trial.size_bytes)]
    tell = bytes_text if limit.quantity == "bytes" else short
    return (
        f"no steps keep {limit.quantity} within {tell(limit.value)}; allow at least "
        f"{tell(closest.of(limit))}. Tried: {'; '.join(dict.fromkeys(tried))}"
    )
