"""What pictures and tables ask of a family: originals, ratios to them, the budget, the best."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from lilliput.core import Budget, BudgetError
from lilliput.registry import Family, Variant
from lilliput.report.numbers import MetricStyle

__all__ = [
    "Speed",
    "best_of",
    "budget_of",
    "front_cost",
    "is_original",
    "original_of",
    "parent_name",
    "recipe_line",
    "size_ratio",
    "speed",
    "style_of",
    "targets_of",
]

_FIELDS = {
    "size": "max_size_bytes",
    "peak_ram": "max_ram_bytes",
    "flash": "max_flash_bytes",
    "instructions": "max_instructions",
    "latency": "max_latency_ms",
    "drop": "max_drop",
}

# repeated runs of one file on a busy machine differ by less
_CLEARLY_SLOWER = 0.95


@dataclass(frozen=True)
class Speed:
    """How many times faster than the original a variant is; below 1 it is slower.

    Args:
        value: The ratio of the two times.
        low: Its 10th percentile over the rounds of the run.
        high: Its 90th percentile.
    """

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def is_slower(self) -> bool:
        """Slower by more than a twentieth, or in nine rounds of ten."""
        return self.value < _CLEARLY_SLOWER or (self.high is not None and self.high < 1)


def targets_of(family: Family) -> tuple[str, ...]:
    """Targets in the order their first variants were made."""
    return tuple(dict.fromkeys(variant.target for variant in family.variants))


def original_of(family: Family, target: str) -> Variant | None:
    """The uncompressed network, exported for `target`."""
    noted = family.notes.get("original", {})
    wanted = noted.get(target) if isinstance(noted, Mapping) else None
    own = [variant for variant in family.variants if variant.target == target]
    for variant in own:
        if variant.id == wanted:
            return variant
    return next((variant for variant in own if variant.name == "original"), None)


def is_original(family: Family, variant: Variant) -> bool:
    """Whether the variant is the uncompressed network."""
    original = original_of(family, variant.target)
    return original is not None and original.id == variant.id


def front_cost(family: Family, target: str) -> str:
    """The quantity that a target's files are small in: flash on a microcontroller."""
    variants = (v for v in family.variants if v.target == target)
    return "flash" if any(v.is_on_chip for v in variants) else "size"


def size_ratio(family: Family, variant: Variant) -> float | None:
    """How many times smaller than the original of the same target the file is.

    None for a microcontroller: its file is source code, and its original has none.
    """
    if variant.is_on_chip:
        return None
    original = original_of(family, variant.target)
    before = original.value("size") if original else None
    after = variant.value("size")
    return before / after if before and after else None


def speed(variant: Variant, quantity: str = "latency_ratio") -> Speed | None:
    """Turns a latency as a share of the original's into a speed: 0.5 of the time is 2x."""
    ratio = variant.measurement(quantity)
    if ratio is None or not ratio.value > 0:
        return None
    low = 1 / ratio.high if ratio.high else None
    high = 1 / ratio.low if ratio.low else None
    return Speed(1 / ratio.value, low, high)


def style_of(family: Family) -> MetricStyle:
    """Whether the metric is a share is told from its values."""
    found = [variant.value(q) for variant in family.variants for q in ("metric", "test_metric")]
    known = [value for value in found if value is not None]
    return MetricStyle.of(family.metric, known, family.higher_is_better)


def budget_of(family: Family) -> Budget:
    """The budget of the run, as its notes have it."""
    limits: Mapping[str, Any] = family.notes.get("budget") or {}
    return Budget(
        **{field: float(limits[name]) for name, field in _FIELDS.items() if name in limits}
    )


def best_of(
    family: Family, target: str, budget: Budget | None = None
) -> tuple[Variant | None, str]:
    """The variant of a target to ship, or None and why there is none.

    The best of the family within the budget; the original only where nothing else meets it.

    Args:
        family: Where to choose.
        target: For which.
        budget: The limits; by default those of the run.
    """
    budget = budget_of(family) if budget is None else budget
    own = [variant for variant in family.variants if variant.target == target]
    others = tuple(variant for variant in own if not is_original(family, variant))
    if not others:
        return None, "no variant besides the original yet"
    try:
        best = replace(family, variants=others).best(budget)
    except BudgetError as error:
        original = original_of(family, target)
        if original is not None and not budget.misses(original.measurements):
            return original, ""
        return None, str(error)
    return best, ""


def parent_name(family: Family, variant: Variant) -> str:
    """Name of the variant that this one goes on from; "" for an original."""
    for other in family.variants:
        if other.id == variant.parent:
            return other.name
    return variant.parent or ""


def recipe_line(variant: Variant) -> str:
    """The passes in one line, with the settings that are plain numbers."""
    steps = variant.details.get("passes") or []
    return " > ".join(_step(step) for step in steps) or "no pass"


def _step(step: Mapping[str, Any]) -> str:
    settings = step.get("settings") or {}
    plain = [
        f"{key}={value:g}"
        for key, value in settings.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    ]
    return f"{step['name']}({', '.join(plain[:4])})"
