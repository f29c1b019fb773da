"""New weights rounded with the steps that are out there already, so that an update is small."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from lilliput.core import PackError
from lilliput.pack.codings import MULTIPLES
from lilliput.pack.model import PackedModel, Quantized
from lilliput.pack.multiples import integers_of, reals_of, step_in

__all__ = ["requantize"]

_MOST = 2**31 - 1


def requantize(
    state: Mapping[str, Tensor], old: PackedModel, slack: float = 0.0
) -> dict[str, Tensor | Quantized]:
    """Rounds what an old packed model holds as integers with its steps; the rest stays as it is.

    Floats that are multiples of a step there are rounded to multiples of it, and stay floats.

    Args:
        state: New weights by name, such as a `state_dict` after fine-tuning.
        old: The model that is out there.
        slack: Steps by which a weight may be nearer to another integer than to its old one and
            keep it, 0 to 0.5: smaller updates, of weights that are off by up to half a step and
            this.

    Raises:
        PackError: A tensor is of another shape than in the old model, or beyond 32 bits in its
            steps; the message names it.
    """
    if not 0 <= slack <= 0.5:
        raise ValueError(f"slack must be between 0 and 0.5, got {slack}")
    found: dict[str, Tensor | Quantized] = {}
    for name, value in state.items():
        before = _before(name, old)
        if before is None:
            found[name] = value
            continue
        rounded = _rounded(name, value, before, slack)
        is_float = not old.packed.contents.entry(name).step
        found[name] = _reals(rounded) if is_float else rounded
    return found


def _before(name: str, old: PackedModel) -> Quantized | None:
    """A tensor of the old model as integers; None where it is none of a step."""
    if name not in old:
        return None
    entry = old.packed.contents.entry(name)
    step = step_in(entry.settings) if entry.coding == MULTIPLES else None
    if step is None:
        return old.quantized(name)
    integers = integers_of(old[name].numpy().reshape(-1), step).reshape(entry.shape)
    return Quantized(torch.from_numpy(integers), float(step))


def _reals(rounded: Quantized) -> Tensor:
    return torch.from_numpy(reals_of(rounded.integers.numpy(), np.float32(rounded.step)))


def _rounded(name: str, value: Tensor, before: Quantized, slack: float) -> Quantized:
    if value.shape != before.integers.shape:
        raise PackError(
            f"tensor {name!r} is {list(value.shape)} and was {list(before.integers.shape)}; give "
            "it a step of its own, a new Quantized"
        )
    exact = value.detach().cpu().double() / before.step
    if not bool((exact.abs() < _MOST).all()):
        raise PackError(f"tensor {name!r} has weights of no integer of 32 bits in the old steps")
    stays = (exact - before.integers).abs() <= 0.5 + slack
    integers = torch.where(stays, before.integers.to(torch.int32), exact.round().to(torch.int32))
    return Quantized(integers, before.step)
