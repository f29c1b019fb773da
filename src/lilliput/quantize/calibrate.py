"""Ranges of all quantizers from data: weights by their rows, activations by what flows past."""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from lilliput.core import PassError, Task
from lilliput.core.progress import track
from lilliput.quantize.fake import FakeQuantize
from lilliput.quantize.histogram import Histogram
from lilliput.quantize.insert import Inserted
from lilliput.quantize.observe import Observer, weight_range

__all__ = ["calibrate"]


def calibrate(inserted: Inserted, task: Task, observer: Observer, samples: int) -> None:
    """Sets the range of every quantizer, which then acts.

    Args:
        inserted: A network whose quantizers do not act yet; changed in place.
        task: Whose training inputs are looked at, without labels.
        observer: Chooses ranges.
        samples: How many examples at most.

    Raises:
        PassError: An activation is NaN or infinite; names its place.
    """
    module = inserted.model.module
    seen = {name: Histogram() for name in inserted.activations}
    handles = [
        module.get_submodule(name).register_forward_pre_hook(partial(_record, name, histogram))
        for name, histogram in seen.items()
    ]
    module.eval()
    try:
        with torch.no_grad():
            for inputs in track(task.calibration(samples), "calibrate"):
                module(*inputs)
    finally:
        for handle in handles:
            handle.remove()
    for weight, name in inserted.weights.items():
        _set_weight(module, weight, _quantizer(module, name), observer)
    for name, histogram in seen.items():
        quantizer = _quantizer(module, name)
        low, high = observer.range(histogram, quantizer.type)
        quantizer.set_range(torch.tensor([low]), torch.tensor([high]))


def _record(name: str, histogram: Histogram, _: nn.Module, inputs: tuple[Any, ...]) -> None:
    try:
        histogram.add(inputs[0])
    except ValueError as error:
        place = name.removesuffix("_quantizer")
        raise PassError(f"calibration: at {place}, {error}; look at the inputs") from error


def _quantizer(module: nn.Module, name: str) -> FakeQuantize:
    quantizer = module.get_submodule(name)
    assert isinstance(quantizer, FakeQuantize)  # noqa: S101
    return quantizer


def _set_weight(
    module: nn.Module, name: str, quantizer: FakeQuantize, observer: Observer
) -> None:
    owner, _, leaf = name.rpartition(".")
    value: Tensor = getattr(module.get_submodule(owner), leaf).detach().float()
    rows = value.transpose(0, quantizer.axis or 0).flatten(1)
    if quantizer.axis is None:
        rows = rows.reshape(1, -1)
    quantizer.set_range(*weight_range(rows, quantizer.type, observer))
