"""Limits on what a variant may cost."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from math import inf, isclose
from numbers import Real

from lilliput.core.measurement import Measurement

__all__ = ["Budget"]

_QUANTITY = {
    "max_size_bytes": "size",
    "max_ram_bytes": "peak_ram",
    "max_flash_bytes": "flash",
    "max_instructions": "instructions",
    "max_latency_ms": "latency",
    "max_drop": "drop",
}
_EXAMPLE = {
    "size": "bytes, such as 50_000",
    "peak_ram": "bytes, such as 10_000_000",
    "flash": "bytes, such as 262_144",
    "instructions": "instructions of one run, such as 5_000_000",
    "latency": "milliseconds, such as 2.5",
    "drop": "the metric's own unit, such as 0.01",
}


@dataclass(frozen=True)
class Budget:
    """Limits on quantities; None is no limit.

    Args:
        max_size_bytes: Of the file on disk.
        max_ram_bytes: Peak of the runtime while it loads and runs the file.
        max_flash_bytes: Of code and weights on a microcontroller, or of the file that a packed one
            becomes.
        max_instructions: Of one run on a microcontroller.
        max_latency_ms: Median time for one example.
        max_drop: How much worse the metric may get, absolute in its own unit and positive
            whichever way is better: 0.01 of an accuracy is one point.

    Raises:
        TypeError: A limit is no number.
        ValueError: A limit is negative.
    """

    max_size_bytes: int | float | None = None
    max_ram_bytes: int | float | None = None
    max_flash_bytes: int | float | None = None
    max_instructions: int | float | None = None
    max_latency_ms: int | float | None = None
    max_drop: int | float | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            limit = getattr(self, field.name)
            if not isinstance(limit, Real | None):
                raise TypeError(
                    f"{field.name} must be a number in {_EXAMPLE[_QUANTITY[field.name]]}, "
                    f"got {limit!r}"
                )
            if limit is not None and not float(limit) >= 0:
                raise ValueError(f"{field.name} must be 0 or more, got {limit}")

    def limits(self) -> dict[str, float]:
        """The limit of each limited quantity, by the quantity's name."""
        values = {_QUANTITY[field.name]: getattr(self, field.name) for field in fields(self)}
        return {name: float(limit) for name, limit in values.items() if limit is not None}

    def misses(self, measurements: Iterable[Measurement]) -> dict[str, float]:
        """By how much each limit is exceeded, in the quantity's unit; empty when all hold.

        A limited quantity that was not measured counts as missed by infinity. What exceeds a limit
        only by floating-point rounding (0.9 - 0.8 of 0.1) holds it.
        """
        values = {m.quantity: m.value for m in measurements}
        excess = {}
        for quantity, limit in self.limits().items():
            value = values.get(quantity, inf)
            if value > limit and not isclose(value, limit, rel_tol=1e-9, abs_tol=1e-12):
                excess[quantity] = value - limit
        return excess
