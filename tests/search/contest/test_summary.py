"""Rows are means over seeds with Student's intervals; leads are Welch's."""

from pathlib import Path

import numpy as np
import pytest

from lilliput.core import Artifact, Measurement
from lilliput.prune import PruneChannels
from lilliput.registry import Variant
from lilliput.search.contest.arms import Arm
from lilliput.search.contest.summary import original_row, rows_of

ARMS = (
    Arm("pruned", "pruned", (PruneChannels(),), 4, 100, is_fresh=False),
    Arm("scratch, same epochs", "scratch", (PruneChannels(),), 4, 100),
)
# 97.5 % quantile of Student's t with 2 degrees of freedom: Fisher and Yates 1963, table III
T2 = 4.303


def variant(
    name: str, metric: float, test: float | None = None, sha256: str = "", size: float = 10.0
) -> Variant:
    quantities = {"metric": metric, "size": size, "latency_ratio": 0.5, "test_metric": test}
    measured = tuple(
        Measurement(quantity, value, "1", "measured", "here")
        for quantity, value in quantities.items()
        if value is not None
    )
    artifact = Artifact(Path("model.onnx"), "onnx", sha256 or f"{name}{metric}")
    return Variant(name, name, name, "here", artifact, measured, "", None, 0, "")


def runs(*values: float, **more: float) -> dict[int, Variant]:
    return {seed: variant(f"v{seed}", value, **more) for seed, value in enumerate(values)}


def test_a_row_is_the_mean_over_seeds_with_students_interval() -> None:
    done = {"scratch, same epochs": runs(0.7, 0.8, 0.9)}
    (row,) = rows_of(ARMS, done, higher_is_better=True)
    half = T2 * np.std([0.7, 0.8, 0.9], ddof=1) / np.sqrt(3)
    assert row.metric.value == pytest.approx(0.8)
    assert (row.metric.low, row.metric.high) == pytest.approx((0.8 - half, 0.8 + half), rel=1e-3)
    assert (row.metric.samples, row.epochs, row.macs) == (3, 4, 100)
    assert [run.seed for run in row.runs] == [0, 1, 2]
    assert row.lead is None  # the pruned arm has no run


@pytest.mark.parametrize("higher_is_better", [True, False])
def test_a_lead_is_positive_where_pruning_is_better(higher_is_better: bool) -> None:
    done = {"pruned": runs(0.9, 0.92, 0.91), "scratch, same epochs": runs(0.8, 0.82, 0.81)}
    _, scratch = rows_of(ARMS, done, higher_is_better)
    sign = 1 if higher_is_better else -1
    assert scratch.lead.value == pytest.approx(0.1 * sign)
    assert scratch.lead.low * sign > 0
    assert scratch.lead.low < scratch.lead.value < scratch.lead.high


def test_leads_are_of_test_data_where_these_were_read() -> None:
    done = {"pruned": runs(0.9, 0.8, test=0.7), "scratch, same epochs": runs(0.1, 0.2, test=0.6)}
    pruned, scratch = rows_of(ARMS, done, higher_is_better=True)
    assert scratch.lead.value == pytest.approx(0.1)
    assert pruned.score.value == pytest.approx(0.7)


def test_one_file_from_every_seed_is_said_and_has_no_interval() -> None:
    same = {"pruned": runs(0.9, 0.9, sha256="same"), "scratch, same epochs": runs(0.7, 0.8)}
    pruned, scratch = rows_of(ARMS, same, higher_is_better=True)
    assert (pruned.metric.low, pruned.metric.high) == (None, None)
    assert "every seed gave the same file" in pruned.note
    assert scratch.note == ""
    # the other arm alone says how far chance goes
    half = 12.706 * np.std([0.7, 0.8], ddof=1) / np.sqrt(2)
    assert scratch.lead.high - scratch.lead.value == pytest.approx(half, rel=1e-3)


def test_of_sizes_the_largest_counts() -> None:
    done = {"pruned": {0: variant("a", 0.5, size=10.0), 1: variant("b", 0.6, size=12.0)}}
    assert rows_of(ARMS, done, higher_is_better=True)[0].size.value == 12.0


def test_the_original_keeps_its_own_measurements() -> None:
    found = variant("original", 0.95, 0.9)
    row = original_row(found, 500, 20)
    assert (row.metric, row.test_metric) == (found.measurement("metric"), row.score)
    assert (row.epochs, row.macs, row.runs) == (20, 500, ())
