"""How long one example takes, beside others in the same rounds."""

import gc
import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Int64

from lilliput.core import Measurement
from lilliput.measure.waiting import waited_ns

__all__ = ["interleave", "latency", "ratio"]

_MIN_CALLS, _MAX_CALLS = 3, 200
_WARM_UP_S = 0.2
_MIN_ROUNDS, _MAX_ROUNDS = 5, 2000

Times = Int64[np.ndarray, " rounds"]


def interleave(
    systems: Sequence[Callable[[int], object]], seconds: float
) -> Int64[np.ndarray, "systems rounds"]:
    """Times systems one call each in turn, so that whatever slows the machine slows all alike.

    A call that is not counted comes right before each that is: else a system would find the caches
    as its neighbour left them, and the same file would have two latencies.

    Args:
        systems: Each runs the example of the round it is given.
        seconds: About how long all rounds take; slow systems still get 5 rounds.

    Returns:
        Nanoseconds of each call, without those in which the core ran another program. (Calls longer
        than a turn on the core would lose more to a busy machine than short ones, and every ratio
        would be wrong.)
    """
    usual = sum(_warm_up(system) for system in systems)
    rounds = int(min(max(seconds / (2 * usual), _MIN_ROUNDS), _MAX_ROUNDS))
    times = np.zeros((len(systems), rounds), np.int64)
    gc.collect()
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        for turn in range(rounds):
            for place in range(len(systems)):
                which = (place + turn) % len(systems)  # nobody always comes first
                systems[which](turn)
                times[which, turn] = _time(systems[which], turn)
    finally:
        if was_enabled:
            gc.enable()
    return times


def _time(system: Callable[[int], object], turn: int) -> int:
    waited = waited_ns()
    start = time.perf_counter_ns()
    system(turn)
    taken = time.perf_counter_ns() - start
    return max(taken - (waited_ns() - waited), 1)


def _warm_up(system: Callable[[int], object]) -> float:
    """Runs until caches and allocators have settled; gives the usual seconds of a call."""
    taken: list[float] = []
    while len(taken) < _MIN_CALLS or (sum(taken) < _WARM_UP_S and len(taken) < _MAX_CALLS):
        taken.append(_time(system, len(taken)) / 1e9)
    return statistics.median(taken)


def latency(times: Times, device: str) -> Measurement:
    """Median, 10th and 90th percentile of nanoseconds, in ms."""
    low, middle, high = (float(q) for q in np.quantile(times / 1e6, (0.1, 0.5, 0.9)))
    return Measurement("latency", middle, "ms", "measured", device, len(times), low, high)


def ratio(quantity: str, times: Times, others: Times, device: str) -> Measurement:
    """Median of the ratios round by round, with their 10th and 90th percentile."""
    low, middle, high = (float(q) for q in np.quantile(times / others, (0.1, 0.5, 0.9)))
    return Measurement(quantity, middle, "1", "measured", device, len(times), low, high)
