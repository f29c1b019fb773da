"""Zeros that stay zero in a network whose weights have no masks any more."""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

__all__ = ["HoldZeros"]


@dataclass(frozen=True, eq=False)
class HoldZeros:
    """A hook: every weight that is exactly zero before an epoch is zero after each of its steps.

    For networks without masks, such as quantized ones, whose weights are plain zeros there.
    """

    _zeros: dict[str, Tensor] = field(
        default_factory=dict, init=False, repr=False, metadata={"setting": False}
    )

    @torch.no_grad()
    def on_step(self, module: nn.Module, step: int, steps: int, /) -> None:  # noqa: ARG002
        """Zeroes them again."""
        weights = dict(module.named_parameters())
        for name, zeros in self._zeros.items():
            weights[name].masked_fill_(zeros, 0)

    def on_epoch(self, module: nn.Module, epoch: int, epochs: int, /) -> None:  # noqa: ARG002
        """Looks where the zeros are."""
        self._zeros.clear()
        for name, weight in module.named_parameters():
            if weight.dim() > 1:
                zeros = weight.detach() == 0
                if zeros.any():
                    self._zeros[name] = zeros

    def penalty(self, _module: nn.Module, /) -> Tensor | None:
        return None
