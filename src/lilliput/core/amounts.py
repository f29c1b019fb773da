"""Amounts as people read them: kB of 1,000 bytes, three digits."""

import math

__all__ = ["bytes_text", "short"]


def short(value: float) -> str:
    """Three significant digits without exponent where that stays readable."""
    size = abs(value)
    if size >= 99.95 or size == 0:
        return f"{value:,.0f}"
    if size < 1e-4 or not math.isfinite(size):
        return f"{value:.2g}"
    return f"{value:.{2 - math.floor(math.log10(size * 1.0005))}f}"


def bytes_text(value: float) -> str:
    """Bytes as B, kB, MB or GB, of 1,000 each."""
    if value < 1000:
        return f"{value:.0f} B"
    if value < 999_500:
        return f"{short(value / 1e3)} kB"
    return f"{short(value / 1e6)} MB" if value < 999.5e6 else f"{short(value / 1e9)} GB"
