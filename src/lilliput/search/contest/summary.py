"""Several runs of one arm as one row: means over seeds with their intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float64

from lilliput.core import Measurement
from lilliput.measure import intervals
from lilliput.registry import Variant
from lilliput.search.contest.arms import PRUNED, Arm
from lilliput.search.contest.comparison import Row, Run

__all__ = ["original_row", "rows_of"]

Values = Float64[np.ndarray, " runs"]

_SAME = "every seed gave the same file: nothing in its training is drawn, so it has no interval"


def original_row(variant: Variant, macs: int, epochs: int | None = None) -> Row:
    """The row of the network before: its intervals are over examples, as it is one network."""
    metric, size = variant.measurement("metric"), variant.measurement("size")
    assert metric is not None  # noqa: S101  every variant that is measured has both
    assert size is not None  # noqa: S101
    return Row(
        "original",
        epochs,
        macs,
        size,
        metric,
        variant.measurement("test_metric"),
        variant.measurement("latency_ratio"),
    )


def rows_of(
    arms: Sequence[Arm],
    done: Mapping[str, Mapping[int, Variant]],
    higher_is_better: bool,
) -> tuple[Row, ...]:
    """One row for each arm that has a run, in the order of the arms.

    Args:
        arms: All of them.
        done: The variants of each arm, by its name and the seed.
        higher_is_better: Which way the metric gets better.
    """
    rows = [_row(arm, done[arm.name]) for arm in arms if done.get(arm.name)]
    pruned = next((row for row in rows if row.arm == PRUNED), None)
    if pruned is None:
        return tuple(rows)
    return tuple(
        row if row is pruned else replace(row, lead=_lead(pruned, row, higher_is_better))
        for row in rows
    )


def _row(arm: Arm, variants: Mapping[int, Variant]) -> Row:
    runs = tuple(_run(seed, variant) for seed, variant in sorted(variants.items()))
    is_drawn = len(runs) < 2 or len({run.sha256 for run in runs}) > 1
    found = list(variants.values())
    metric, sizes = _mean("metric", found, is_drawn), _all("size", found)
    assert metric is not None  # noqa: S101  every variant that is measured has both
    return Row(
        arm=arm.name,
        epochs=arm.epochs,
        macs=arm.macs,
        size=max(sizes, key=lambda size: size.value),
        metric=metric,
        test_metric=_mean("test_metric", found, is_drawn),
        latency_ratio=_mean("latency_ratio", found),
        runs=runs,
        note=_note(arm, is_drawn),
    )


def _note(arm: Arm, is_drawn: bool) -> str:
    if arm.same_as:
        return f"the same network and training as {arm.same_as}, whose runs these are"
    return "" if is_drawn else _SAME


def _run(seed: int, variant: Variant) -> Run:
    metric = variant.value("metric")
    assert metric is not None  # noqa: S101
    sha256, test = variant.artifact.sha256, variant.value("test_metric")
    return Run(seed, variant.name, variant.id, sha256, metric, test)


def _all(quantity: str, variants: Sequence[Variant]) -> list[Measurement]:
    return [found for v in variants if (found := v.measurement(quantity)) is not None]


def _mean(quantity: str, variants: Sequence[Variant], is_drawn: bool = True) -> Measurement | None:
    """The mean over runs; None where one of them was not measured."""
    found = _all(quantity, variants)
    if len(found) < len(variants):
        return None
    values = np.array([m.value for m in found], np.float64)
    ends = intervals.runs(values) if is_drawn else None
    return _measurement(quantity, float(values.mean()), ends, found[0], len(found))


def _lead(pruned: Row, other: Row, higher_is_better: bool) -> Measurement:
    """How much better the pruned arm is, with Welch's interval."""
    is_tested = pruned.test_metric is not None and other.test_metric is not None
    ours, theirs = _values(pruned, is_tested), _values(other, is_tested)
    good, bad = (ours, theirs) if higher_is_better else (theirs, ours)
    value, ends = float(good.mean() - bad.mean()), intervals.welch(good, bad)
    samples = min(len(ours), len(theirs))
    return _measurement("lead", value, ends, other.score, samples)


def _values(row: Row, is_tested: bool) -> Values:
    values = [run.test_metric if is_tested else run.metric for run in row.runs]
    return np.array(values, np.float64)


def _measurement(
    quantity: str, value: float, ends: intervals.Interval | None, like: Measurement, samples: int
) -> Measurement:
    low, high = (ends.low, ends.high) if ends else (None, None)
    return Measurement(quantity, value, like.unit, like.method, like.device, samples, low, high)
