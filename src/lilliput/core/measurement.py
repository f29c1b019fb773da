"""A number with its unit and how it was got."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["Measurement", "Method"]

Method = Literal["measured", "simulated", "estimated", "predicted"]


@dataclass(frozen=True)
class Measurement:
    """One observed quantity.

    The quantities of this project: `metric` and `drop` on validation data, `test_metric` and
    `test_drop` on test data (in the metric's own unit, a drop positive where the variant is worse);
    `size`, `peak_ram` and `flash` in B, flash of what runs: a microcontroller's image, or the file
    that a packed one becomes; `instructions` of one run on a microcontroller; `latency` in ms for
    one example; `latency_ratio` to the original in the same runtime and
    `latency_ratio_eager` to PyTorch eager, both of one interleaved run; `parity`, the largest
    difference from the network's own output as a share of its range.

    Args:
        quantity: What.
        value: How much, in `unit`; the median of a latency.
        unit: `B`, `ms`, `1` for ratios, the metric's name for metrics.
        method: `measured` on the device, `simulated` on another, `estimated` by a formula, or
            `predicted` by a model of the device.
        device: Where, and with how many threads.
        samples: How many runs or examples stand behind `value`.
        low: Lower end: of a 95 % interval, or the 10th percentile of a latency.
        high: Upper end: of a 95 % interval, or the 90th percentile of a latency.
    """

    quantity: str
    value: float
    unit: str
    method: Method
    device: str
    samples: int = 1
    low: float | None = None
    high: float | None = None
