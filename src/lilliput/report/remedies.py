"""A diagnosis in words: where a culprit's cost comes from, numbers with ends, the outcome."""

import math
from collections.abc import Mapping
from typing import Any

from lilliput.report.numbers import MetricStyle

__all__ = ["bar_text", "kept_text", "outcome", "source_of", "with_ends"]

Row = Mapping[str, Any]

_BAR = 10


def source_of(culprit: Row) -> str:
    """Whether its weights or what it reads costs more."""
    if culprit["weights"] is None:
        return "activations"
    reads = culprit["reads_divergence"] or 0.0
    return "weights" if culprit["weights_divergence"] >= reads else "what it reads"


def with_ends(found: Row, style: MetricStyle) -> str:
    """A difference with its interval: `0.31 (0.12 to 0.50)`."""
    text = style.difference(found["value"])
    if found["low"] is None or found["high"] is None:
        return text
    return f"{text} ({style.difference(found['low'])} to {style.difference(found['high'])})"


def bar_text(value: float, most: float) -> str:
    """A bar of at most ten characters; a whole one for what is no number."""
    if not math.isfinite(value):
        return "\u2588" * _BAR
    return "\u2588" * round(_BAR * value / most) if most > 0 else ""


def kept_text(tried: Row) -> str:
    """Whether the next remedy went on from it, and whether that may be chance."""
    if not tried["is_kept"]:
        return "no"
    low = tried["bought"]["low"] if tried["bought"] else 1.0
    return "yes" if low is not None and low > 0 else "yes, within noise"


def outcome(found: Row, style: MetricStyle) -> str:
    """What it all came to, in a sentence."""
    last = next(row for row in found["tried"] if row["id"] == found["id"])
    drop = with_ends(last["drop"], style) if last["drop"] else "unknown"
    limit = style.limit(found["max_drop"])
    helped = [row["remedy"] for row in found["tried"] if row["is_kept"] and row["remedy"]]
    by = f" after {', '.join(dict.fromkeys(helped))}" if helped else ""
    words = "within" if found["is_within"] else "still more than"
    return f"{found['variant']}{by}: drop {drop}{style.points}, {words} the limit of {limit}"
