"""95 % intervals: of a share, a mean, a difference, runs, and of what is no mean at all."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

__all__ = ["Interval", "jackknife", "mean", "paired", "runs", "student_t", "welch", "wilson"]

# 97.5 % quantile of the standard normal distribution
_Z = 1.959963984540054

Values = Float64[np.ndarray, " samples"]


@dataclass(frozen=True)
class Interval:
    """Two ends, both in the unit of the estimate."""

    low: float
    high: float


def student_t(freedom: int) -> float:
    """97.5 % quantile of Student's t; within 1 % from 3 degrees of freedom up.

    Source: Abramowitz and Stegun 1964, 26.7.5; exact values for 1 and 2 degrees.
    """
    if freedom < 3:
        return {1: 12.706204736174698, 2: 4.302652729749464}[freedom]
    z, v = _Z, float(freedom)
    terms = (
        (z**3 + z) / (4 * v),
        (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2),
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3),
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / (92160 * v**4),
    )
    return z + sum(terms)


def wilson(successes: int, trials: int) -> Interval:
    """Of a share: the score interval, which stays between 0 and 1.

    Source: Wilson 1927; Brown, Cai and DasGupta 2001, eq. 4.
    """
    share, square = successes / trials, _Z**2
    middle = (successes + square / 2) / (trials + square)
    half = _Z * math.sqrt(trials) / (trials + square)
    half *= math.sqrt(share * (1 - share) + square / (4 * trials))
    return Interval(max(0.0, middle - half), min(1.0, middle + half))


def mean(values: Values) -> Interval | None:
    """Of a mean: Wilson's where all values are 0 or 1, Student's t else; None for one value."""
    if _is_binary(values):
        return wilson(round(float(values.sum())), len(values))
    return _t(values)


def paired(ours: Values, theirs: Values) -> Interval | None:
    """Of the mean of `ours - theirs`, example by example; None for one example.

    Values that are all 0 or 1 take the adjusted Wald interval, which does not shrink to nothing
    when no example changed; all others Student's t.

    Source: Bonett and Price 2012, "Adjusted Wald confidence interval for a difference of binomial
    proportions based on paired data", eq. 4.
    """
    differences = ours - theirs
    if not (_is_binary(ours) and _is_binary(theirs)):
        return _t(differences)
    count = len(differences)
    up = (float((differences > 0).sum()) + 1) / (count + 2)
    down = (float((differences < 0).sum()) + 1) / (count + 2)
    half = _Z * math.sqrt((up + down - (up - down) ** 2) / (count + 2))
    return Interval(max(-1.0, up - down - half), min(1.0, up - down + half))


def runs(values: Values) -> Interval | None:
    """Of the mean of repeated runs: Student's t, whatever the values; None for one run."""
    return _t(values)


def welch(
    ours: Float64[np.ndarray, " ours"], theirs: Float64[np.ndarray, " theirs"]
) -> Interval | None:
    """Of the difference of the means of two sets of runs, whose spreads may differ.

    None for one run, and where neither varies: then nothing tells how far chance goes.

    Source: Welch 1947, "The generalization of Student's problem", eq. 28, for the degrees of
    freedom, here rounded down.
    """
    counts = len(ours), len(theirs)
    if min(counts) < 2:
        return None
    errors = [float(np.var(x, ddof=1)) / len(x) for x in (ours, theirs)]
    total = sum(errors)
    if not total > 0:
        return None
    parts = sum((e / total) ** 2 / (n - 1) for e, n in zip(errors, counts, strict=True))
    freedom = max(min(counts) - 1, math.floor(1 / parts + 1e-9))
    return _around(float(ours.mean() - theirs.mean()), math.sqrt(total), freedom)


def jackknife(estimate: float, left_out: Values) -> Interval | None:
    """Of any smooth statistic, from its values with each group of examples left out in turn.

    Source: Efron and Tibshirani 1993, eq. 11.5, over groups; Student's t with one degree less than
    there are groups.
    """
    groups = len(left_out)
    if groups < 2:
        return None
    error = math.sqrt((groups - 1) * float(np.var(left_out)))
    return _around(estimate, error, groups - 1)


def _is_binary(values: Values) -> bool:
    return bool(np.isin(values, (0.0, 1.0)).all())


def _t(values: Values) -> Interval | None:
    if len(values) < 2:
        return None
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return _around(float(np.mean(values)), error, len(values) - 1)


def _around(middle: float, error: float, freedom: int) -> Interval:
    half = student_t(freedom) * error
    return Interval(middle - half, middle + half)
