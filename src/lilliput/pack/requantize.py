"""New weights rounded with the steps that are out there already, so that an update is small."""

from collections.abc import Mapping

import torch
from torch import Tensor

from lilliput.core import PackError
from lilliput.pack.model import PackedModel, Quantized

__all__ = ["requantize"]

_MOST = 2**31 - 1


def requantize(
    state: Mapping[str, Tensor], old: PackedModel, slack: float = 0.0
) -> dict[str, Tensor | Quantized]:
    """Rounds what an old packed model holds as integers with its steps; the rest stays as it is.

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
        before = old.quantized(name) if name in old else None
        found[name] = value if before is None else _rounded(name, value, before, slack)
    return found


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
