"""The net with broken ranges, diagnosed: who costs the accuracy, and what remedies bring back."""

import shutil
from collections.abc import Iterator

from cases import Case
from quantize_ranges import broken, per_tensor
from rows import Row
from scoring import WORK

import lilliput as lp

__all__ = ["cases"]

MAX_DROP = 0.005


def diagnosed() -> list[Row]:
    """One row for each of the five worst places, and one for each remedy."""
    model, task = broken()
    out = WORK / "ranges" / "diagnosed"
    shutil.rmtree(out, ignore_errors=True)
    budget = lp.Budget(max_drop=MAX_DROP)
    found = lp.diagnose(model, task, per_tensor(), budget, out=out, tell=print)
    case = "ranges-diagnosed"
    rows = [
        Row(
            case,
            "lilliput",
            f"KL of {culprit.name} alone",
            culprit.alone_divergence,
            "nats",
            "simulated",
            samples=found.samples,
        )
        for culprit in found.culprits[:5]
    ]
    for tried in found.tried:
        if tried.drop is not None:
            drop, name = tried.drop, tried.remedy or "nothing yet"
            quantity = f"drop after: {name} ({tried.variant})"
            ends = drop.low, drop.high
            rows.append(
                Row(
                    case,
                    "lilliput",
                    quantity,
                    drop.value,
                    drop.unit,
                    "measured",
                    *ends,
                    drop.samples,
                )
            )
    lp.report(lp.Store(out).family(), out / "report.html")
    return rows


def cases() -> Iterator[Case]:
    """One case."""
    yield Case("ranges-diagnosed", diagnosed)
