"""The bits that weights take in a packed file, brought down while they train."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from lilliput.core import PassError
from lilliput.quantize.coded.coded_aware import SteppedLayer, stepped_layers

__all__ = ["Code", "RatePenalty"]

_LONGEST = 0.05
"""Of a step, the most that the penalty moves a weight at once."""
_GAIN = 0.05
"""Of the bits that are too many, the share that is to go at once."""


@dataclass(frozen=True, eq=False)
class Code:
    """The lengths of integers whose zero has a probability, and whose size is geometric otherwise.

    Signs are equal. Between two integers a number takes what lies on a straight line between
    theirs.

    Args:
        zero: Bits of a zero.
        one: Of 1 and of -1.
        unit: Of each unit more.
        total: Of all integers that it was made for.
        others: How many of these are not zero.

    Source: Golomb 1966, "Run-length encodings", for the geometric code.
    """

    zero: Float[Tensor, ""]
    one: Float[Tensor, ""]
    unit: Float[Tensor, ""]
    total: Float[Tensor, ""]
    others: Int[Tensor, ""]

    @classmethod
    def of(cls, size: Float[Tensor, "..."]) -> "Code":
        """The one that suits best, by maximum likelihood, the integers that numbers round to.

        Args:
            size: Of numbers, 0 or more.
        """
        whole = size.round()
        count = whole.numel()
        others, units = torch.count_nonzero(whole), whole.sum()
        is_zero = (count - others + 0.5) / (count + 1)
        goes_on = (1 - (others + 0.5) / (units + 1)).clamp(0.05, 1 - 1e-6)
        zero, unit = -torch.log2(is_zero), -torch.log2(goes_on)
        one = 1 - torch.log2(1 - is_zero) - torch.log2(1 - goes_on)
        total = (count - others) * zero + others * one + (units - others) * unit
        return cls(zero, one, unit, total, others)

    @property
    def near(self) -> float:
        """Bits that a unit more takes up to 1; the way to zero is never the cheaper part.

        The code is the best one for the numbers, so that it moves no bits in first order when it
        follows them.
        """
        return max(float(self.one - self.zero), self.far)

    @property
    def far(self) -> float:
        """Bits that a unit more takes above 1."""
        return float(self.unit)


class _State:
    """What is known of the network that is trained."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Forgets what was known of another."""
        self.first = math.nan
        self.gone: dict[str, Bool[Tensor, " channels"]] = {}


@dataclass(frozen=True)
class RatePenalty:
    """A hook: after each step it makes weights smaller by what their size costs in bits.

    This is a proximal step on the rate, the bits that the network's integers take: a weight moves
    towards zero by a strength times the slope of its bits, and never through it, and no optimizer's
    momentum remembers it. What is wanted falls in the first part of the training from the rate at
    hand; the strength is what brings a twentieth of the bits that are too many down in each step.
    A channel whose weights are all rounded to zero stays so: BatchNorm after it would make its
    gradients hundreds of times larger.

    Args:
        bits: For each weight, in the mean over the network at the end; the packed file takes about
            as much.
        end: Share of the training in which the rate is brought down.

    Raises:
        ValueError: A setting is out of range.

    Source: rate in the loss: Oktay et al. 2020, "Scalable Model Compression by Entropy Penalized
    Reparameterization", eq. 5; proximal steps: Parikh and Boyd 2014, "Proximal Algorithms", 4.2.
    """

    bits: float
    end: float = 0.6
    _state: _State = field(
        default_factory=_State, init=False, repr=False, compare=False, metadata={"setting": False}
    )

    def __post_init__(self) -> None:
        if not self.bits > 0:
            raise ValueError(f"bits must be more than 0, got {self.bits}")
        if not 0 < self.end <= 1:
            raise ValueError(f"end must be more than 0 and at most 1, got {self.end}")

    @torch.no_grad()
    def on_step(self, module: nn.Module, step: int, steps: int, /) -> None:
        """Moves weights, and makes the strength larger where the rate is too high."""
        layers = list(stepped_layers(module))
        units = [layer.units() for layer in layers]
        sizes = [own.abs() for own in units]
        codes = [Code.of(size) for size in sizes]
        squares = [float(layer.step) ** 2 for layer in layers]
        count = sum(size.numel() for size in sizes)
        power = sum(
            _power(code, size) / square
            for code, size, square in zip(codes, sizes, squares, strict=True)
        )
        too_many = self._too_many(codes, count, step / steps)
        strength = too_many * _GAIN / max(power, 1e-30)
        for layer, own, size, code, square in zip(
            layers, units, sizes, codes, squares, strict=True
        ):
            self._pull(layer, own, size, code, strength / square)

    def _pull(
        self, layer: SteppedLayer, units: Tensor, size: Tensor, code: Code, by: float
    ) -> None:
        """Moves a layer's weights towards zero; `size` is used up."""
        near, far = min(by * code.near, _LONGEST), min(by * code.far, _LONGEST)
        size.sub_((size <= 1).to(size.dtype).mul_(near - far).add_(far)).clamp_min_(0)
        self._hold(layer, size)
        left = size.copysign_(units).mul_(layer.step)
        if layer.is_masked:  # a weight under the mask is zero here, and stays as it is
            left = torch.where(units == 0, layer.original, left)
        layer.original.copy_(left)

    def _hold(self, layer: SteppedLayer, size: Float[Tensor, "..."]) -> None:
        """Keeps channels at zero that were there after the last step."""
        axis = layer.channel_axis
        gone = self._state.gone.get(layer.name)
        if gone is not None:
            size.movedim(axis, 0)[gone] = 0.0
        largest = size.amax([other for other in range(size.dim()) if other != axis])
        self._state.gone[layer.name] = largest <= 0.5

    def _too_many(self, codes: Sequence[Code], count: int, share: float) -> float:
        """The bits over those wanted where a share of the training is over."""
        bits = float(torch.stack([code.total for code in codes]).sum())
        if math.isnan(self._state.first):
            self._state.first = bits / count
        left = 1 - min(1.0, share / self.end)
        wanted = self.bits + max(0.0, self._state.first - self.bits) * left**3
        return max(0.0, bits - wanted * count)

    def on_epoch(self, module: nn.Module, epoch: int, epochs: int, /) -> None:  # noqa: ARG002
        """Checks that there are steps.

        Raises:
            PassError: No weight has a step.
        """
        if not any(True for _ in stepped_layers(module)):
            raise PassError(
                "no weight has a step for RatePenalty; put QuantizeCodedAware before the training"
            )
        if epoch == 0:
            self._state.begin()

    def state_dict(self) -> dict[str, Any]:
        """The bits that there were at first, and the channels that are gone."""
        return {"first": self._state.first, "gone": dict(self._state.gone)}

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        """Goes on where another was."""
        self._state.first, self._state.gone = state["first"], dict(state["gone"])

    def penalty(self, _module: nn.Module, /) -> Tensor | None:
        """Nothing: the loss does not see it."""
        return None


def _power(code: Code, size: Float[Tensor, "..."]) -> float:
    """The bits that go for a strength of 1, of weights that are not rounded to zero."""
    far = int(torch.count_nonzero(size > 1))
    return code.near**2 * (int(code.others) - far) + code.far**2 * far
