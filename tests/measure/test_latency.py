import time

import numpy as np
import pytest

from lilliput.measure.latency import interleave, latency, ratio
from lilliput.measure.waiting import waited_ns


def busy(ms):
    """Computes, and so holds its core, for about so long."""

    def run(_):
        end = time.thread_time_ns() + int(ms * 1e6)
        while time.thread_time_ns() < end:
            pass

    return run


def test_the_ratio_of_two_workloads_is_that_of_their_lengths():
    fast, slow = interleave([busy(1.0), busy(3.0)], 0.15)
    assert ratio("latency_ratio", fast, slow, "x").value == pytest.approx(1 / 3, rel=0.15)
    assert latency(slow, "x").value == pytest.approx(3.0, rel=0.15)


def test_a_workload_is_as_fast_as_itself():
    times = interleave([busy(1.0), busy(1.0)], 0.1)
    assert ratio("latency_ratio", times[0], times[1], "x").value == pytest.approx(1.0, abs=0.05)


def test_slow_systems_still_get_five_rounds():
    times = interleave([busy(20.0)], 0.0)
    assert times.shape == (1, 5)


def test_each_round_gives_all_systems_its_own_example():
    seen = [[], []]
    times = interleave([seen[0].append, seen[1].append], 0.001)
    rounds = times.shape[1]
    assert seen[0][-2 * rounds :] == seen[1][-2 * rounds :]
    assert sorted(seen[0][-2 * rounds :]) == sorted([*range(rounds)] * 2)


def test_measurements_are_median_and_deciles_in_ms():
    found = latency(np.arange(1, 101) * 1_000_000, "here, 1 thread")
    assert (found.value, found.unit, found.samples) == (50.5, "ms", 100)
    assert (found.low, found.high) == pytest.approx((10.9, 90.1))


def test_waiting_never_goes_back():
    before = waited_ns()
    busy(5.0)(0)
    assert waited_ns() >= before
