"""Limits on weights that are to be coded, and the search for the price that just keeps them."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from lilliput.core import BudgetError
from lilliput.core.amounts import bytes_text, short

__all__ = ["Limit", "Trial", "search"]

_STRIDE = 2.0
"""From a price to the next, its square to the one after, until the limit lies between."""
_MOST_STRIDES = 10
_CLOSE = 0.01
"""Share of the bytes by which neighbours may differ in the end."""
_MARGIN = 0.05
"""Share of a limit on the distance that may be left over: some 1 % of the bytes."""
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
        if _is_close(inside, limit):
            break
        price = _beyond(trial, limit, len(done))
    if inside is None:
        raise BudgetError(_unmet(limit, done))
    for _ in range(_MOST_TRIALS):
        if outside is None or _is_close(inside, limit) or _are_neighbours(inside, outside):
            break
        trial = attempt(_between(inside, outside, limit))
        done.append(trial)
        inside, outside = (trial, outside) if trial.keeps(limit) else (inside, trial)
    kept = [trial for trial in done if trial.keeps(limit)]
    return min(kept, key=lambda trial: trial.distance if wants_cheap else trial.size_bytes)


def _is_close(inside: Trial | None, limit: Limit) -> bool:
    """Whether there is nothing to be won by another trial."""
    if inside is None or limit.quantity == "drop":
        return False
    margin = _CLOSE if limit.quantity == "bytes" else _MARGIN
    return inside.of(limit) >= (1 - margin) * limit.value


def _are_neighbours(inside: Trial, outside: Trial) -> bool:
    return abs(math.log((inside.size_bytes + 1) / (outside.size_bytes + 1))) < _CLOSE


def _beyond(trial: Trial, limit: Limit, done: int) -> float:
    """A price on the other side of the limit, or nearer to it."""
    stride = _STRIDE**done
    if limit.quantity == "distance" and trial.distance > 0:
        # what is left of fine steps' errors falls as the price of distance rises
        wanted = trial.distance / (limit.value * (1 - _MARGIN / 2))
        return trial.price * min(max(wanted, 1 / stride), stride)
    is_too_dear = trial.keeps(limit) != (limit.quantity == "bytes")
    return trial.price / stride if is_too_dear else trial.price * stride


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
