"""All variants of one task, and how to choose among them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lilliput.core import Budget, BudgetError
from lilliput.registry.select import misses_text, nearest, pareto
from lilliput.registry.variant import Skipped, Variant

__all__ = ["Family"]


@dataclass(frozen=True)
class Family:
    """The variants of one task, in the order they were made.

    Args:
        task: Name of the task.
        metric: Name of its metric.
        higher_is_better: Which way the metric gets better.
        variants: In the order they were made.
        skipped: What was left out, and why.
        notes: Facts of the run, for the report.
        folder: Where the run is kept.
    """

    task: str
    metric: str
    higher_is_better: bool
    variants: tuple[Variant, ...]
    skipped: tuple[Skipped, ...] = ()
    notes: Mapping[str, Any] = field(default_factory=dict)
    folder: Path = Path()

    def __iter__(self) -> Iterator[Variant]:
        return iter(self.variants)

    def __len__(self) -> int:
        return len(self.variants)

    def front(
        self, x: str = "size", y: str = "metric", target: str | None = None
    ) -> tuple[Variant, ...]:
        """The Pareto front of two quantities: no other variant is as good in both.

        Args:
            x: A quantity, the smaller the better.
            y: Another. `metric` and `test_metric` get better as the task's metric does; all
                other quantities are better when smaller.
            target: Only its variants; None for all.

        Returns:
            Those for which both were measured, from the best `x` up.
        """
        return pareto(self._of(target), lambda v: self._cost(v, x), lambda v: self._cost(v, y))

    def best(self, budget: Budget | None = None, target: str | None = None) -> Variant:
        """The variant to ship within the budget.

        A limit on the drop says what may be given for size, so where there is one the smallest
        variant within the budget is best; otherwise the one with the best metric is.

        Args:
            budget: The limits; None for no limit.
            target: Only its variants; None for all.

        Raises:
            BudgetError: None meets the budget; it names the nearest and what that one misses.
        """
        budget = budget or Budget()
        known = [v for v in self._of(target) if v.value("metric") is not None]
        if not known:
            where = f" for target {target!r}" if target else ""
            others = ", ".join(dict.fromkeys(v.target for v in self.variants)) or "no target"
            raise BudgetError(f"no variant{where} was measured; there are variants for {others}")
        within = [v for v in known if not budget.misses(v.measurements)]
        if not within:
            near = nearest(known, budget)
            raise BudgetError(
                f"no variant meets the budget; the nearest is {near.name!r} for {near.target} "
                f"({near.id}): {misses_text(near, budget)}"
            )
        is_for_size = budget.max_drop is not None

        def cost(variant: Variant) -> tuple[float, float]:
            size, metric = variant.value("size") or 0.0, self._cost(variant, "metric") or 0.0
            return (size, metric) if is_for_size else (metric, size)

        return min(within, key=cost)

    def to_rows(self) -> list[dict[str, Any]]:
        """One flat row for each variant, for CSV and JSON; units as in `Measurement`."""
        rows = []
        for variant in self.variants:
            row: dict[str, Any] = {
                "id": variant.id,
                "name": variant.name,
                "target": variant.target,
                "parent": variant.parent,
                "seed": variant.seed,
                "created": variant.created,
                "path": str(variant.artifact.path),
                "sha256": variant.artifact.sha256,
            }
            for m in variant.measurements:
                row |= {m.quantity: m.value, f"{m.quantity}_unit": m.unit}
                row |= {f"{m.quantity}_low": m.low, f"{m.quantity}_high": m.high}
            rows.append(row)
        return rows

    def _of(self, target: str | None) -> list[Variant]:
        return [v for v in self.variants if target is None or v.target == target]

    def _cost(self, variant: Variant, quantity: str) -> float | None:
        """The quantity, turned so that smaller is better."""
        value = variant.value(quantity)
        is_gain = quantity in {"metric", "test_metric"} and self.higher_is_better
        return -value if is_gain and value is not None else value
