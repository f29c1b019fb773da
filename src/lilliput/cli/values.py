"""What people type for quantities, `1%`, `250kB`, `2ms`, `30m`, as numbers in one unit."""

import math
import re
from collections.abc import Mapping

import typer

__all__ = ["parse_bytes", "parse_count", "parse_ms", "parse_seconds", "parse_share"]

# kB is 1,000 bytes and KiB is 1,024: IEC 80000-13
_BYTES = {
    "": 1.0,
    "b": 1.0,
    "kb": 1e3,
    "mb": 1e6,
    "gb": 1e9,
    "kib": 1024.0,
    "mib": 1024.0**2,
    "gib": 1024.0**3,
}
_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_MS = {"": 1.0, "us": 1e-3, "µs": 1e-3, "ms": 1.0, "s": 1e3}
_COUNTS = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9}
_SHARE = {"": 1.0, "%": 0.01}

# a comma only before three digits: 250,000 is clear, 1,5 is not
_NUMBER = re.compile(r"((\d{1,3}(,\d{3})+|\d[\d_]*)(\.\d*)?|\.\d+)(e[+-]?\d+)?(?!,)")
_UNIT = re.compile(r"\s*([a-zµ%]*)\s*")


def parse_bytes(text: str) -> float:
    """Bytes in `250kB`, `1.5MB`, `64KiB` or `250000`."""
    return _parse(text, _BYTES, "a size such as 250kB, 1.5MB or 64KiB")


def parse_ms(text: str) -> float:
    """Milliseconds in `2ms`, `500us`, `0.1s` or `2`."""
    return _parse(text, _MS, "a time such as 2ms, 500us or 0.1s")


def parse_count(text: str) -> float:
    """How many in `5M`, `500k` or `5000000`."""
    return _parse(text, _COUNTS, "a count such as 500k or 5M")


def parse_seconds(text: str) -> float:
    """Seconds in `30m`, `1h30m`, `90s` or `90`."""
    return _parse(text, _SECONDS, "a time such as 30m, 1h30m or 90s", most_parts=4)


def parse_share(text: str) -> float:
    """An absolute difference in `1%` (0.01) or `0.01`."""
    return _parse(text, _SHARE, "a drop such as 1% or 0.01")


def _parse(text: str, units: Mapping[str, float], example: str, most_parts: int = 1) -> float:
    """Adds up number-and-unit parts; several parts only where each has a unit.

    Raises:
        typer.BadParameter: The text is not of that form, or too large for a number.
    """
    parts = _parts(text.strip().lower())
    used = [unit for _, unit in parts]
    is_readable = 1 <= len(parts) <= most_parts and all(unit in units for unit in used)
    if not is_readable or (len(parts) > 1 and "" in used):
        raise typer.BadParameter(f"{text!r} is not {example}")
    value = sum(number * units[unit] for number, unit in parts)
    if not math.isfinite(value):
        raise typer.BadParameter(f"{text!r} is too large")
    return value


def _parts(text: str) -> list[tuple[float, str]]:
    """Numbers with their units, in order; none where something else stands between."""
    parts = []
    position = 0
    while position < len(text):
        number = _NUMBER.match(text, position)
        if number is None:
            return []
        unit = _UNIT.match(text, number.end())
        assert unit is not None  # noqa: S101  it matches the empty string
        parts.append((float(number[0].replace(",", "").replace("_", "")), unit[1]))
        position = unit.end()
    return parts
