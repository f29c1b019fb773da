"""How long each layer takes in PyTorch."""

import statistics
import time
from collections import defaultdict
from typing import Any

import torch
from torch import nn

from lilliput.core import Model

__all__ = ["layer_times"]


def layer_times(model: Model, repeats: int = 20) -> dict[str, float]:
    """Median milliseconds of each layer for one example, in PyTorch eager on one thread.

    Only layers that are modules can be timed; what runs between them has no name here.

    Args:
        model: The network; it is not changed.
        repeats: Runs after three to warm up.
    """
    module = model.clone().module.eval()
    inputs = tuple(x[:1] if x.dim() else x for x in model.example_inputs)
    runs: list[dict[str, float]] = []
    leaves = [(name, part) for name, part in module.named_modules() if not list(part.children())]
    for name, part in leaves:
        _time_calls(part, name, runs)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            for _ in range(3 + repeats):
                runs.append(defaultdict(float))
                module(*inputs)
    finally:
        torch.set_num_threads(threads)
    counted = runs[3:]
    return {name: statistics.median(run[name] for run in counted) for name in counted[0]}


def _time_calls(part: nn.Module, name: str, runs: list[dict[str, float]]) -> None:
    """Adds the milliseconds of each call to the latest run; a shared layer is called often."""
    started: list[float] = []

    def before(*_: Any) -> None:
        started.append(time.perf_counter())

    def after(*_: Any) -> None:
        runs[-1][name] += 1000 * (time.perf_counter() - started.pop())

    part.register_forward_pre_hook(before)
    part.register_forward_hook(after)
