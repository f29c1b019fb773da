"""How long a network and each of its layers take in PyTorch."""

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any

import torch
from torch import nn

from lilliput.core import Model
from lilliput.core.modes import with_plain_attention

__all__ = ["EagerTimes", "eager_times", "layer_times"]

_WARM_UP = 3


@dataclass(frozen=True)
class EagerTimes:
    """Median milliseconds for one example, in PyTorch eager on one thread.

    Attention runs as the operators that a trace shows, without its fast path, layers and whole.

    Args:
        network_ms: The whole network, run as it is.
        layers_ms: Each layer that is a module, by name.
    """

    network_ms: float
    layers_ms: dict[str, float]


def layer_times(model: Model, repeats: int = 20) -> dict[str, float]:
    """Median milliseconds of each layer for one example, in PyTorch eager on one thread.

    Only layers that are modules can be timed; what runs between them has no name here, nor has what
    a module such as `nn.MultiheadAttention` computes with its parts' weights, not with its parts.

    Args:
        model: The network; it is not changed.
        repeats: Runs after three to warm up.
    """
    clock = _LayerClock(model)
    with _one_thread():
        for _ in range(_WARM_UP + repeats):
            clock.run()
    return clock.medians()


def eager_times(model: Model, repeats: int = 20) -> EagerTimes:
    """Times the layers, and in turns with them the whole network, without the clocks of the layers.

    Args:
        model: The network; it is not changed.
        repeats: Runs of each after three to warm up.
    """
    clock, run = _LayerClock(model), _runner(_in_eval_mode(model))
    whole: list[float] = []
    with _one_thread():
        for _ in range(_WARM_UP + repeats):
            clock.run()
            start = time.perf_counter()
            run()
            whole.append(1000 * (time.perf_counter() - start))
    return EagerTimes(_median(whole), clock.medians())


class _LayerClock:
    """A copy of the network whose layers are timed."""

    def __init__(self, model: Model) -> None:
        model = _in_eval_mode(model)
        self._run = _runner(model)
        self._runs: list[dict[str, float]] = []
        for name, part in model.module.named_modules():
            if not list(part.children()):
                self._time_calls(part, name)

    def run(self) -> None:
        """Runs the network once."""
        self._runs.append(defaultdict(float))
        self._run()

    def medians(self) -> dict[str, float]:
        """Milliseconds of each layer that was called."""
        return {name: _median([run[name] for run in self._runs]) for name in self._runs[-1]}

    def _time_calls(self, part: nn.Module, name: str) -> None:
        """Adds the milliseconds of each call to the latest run; a shared layer is called often.

        `forward` is wrapped, because hooks would cost microseconds that count as the layer's.
        """
        forward = part.forward

        @wraps(forward)
        def timed(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            outputs = forward(*args, **kwargs)
            self._runs[-1][name] += 1000 * (time.perf_counter() - start)
            return outputs

        part.forward = timed


def _in_eval_mode(model: Model) -> Model:
    copy = model.clone()
    copy.module.eval()
    return copy


def _runner(model: Model) -> Callable[[], object]:
    """Runs the network on the first example."""
    inputs = tuple(x[:1] if x.dim() else x for x in model.example_inputs)
    return lambda: model.module(*inputs)


def _median(times: Sequence[float]) -> float:
    return statistics.median(times[_WARM_UP:])


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode(), with_plain_attention():
            yield
    finally:
        torch.set_num_threads(threads)
