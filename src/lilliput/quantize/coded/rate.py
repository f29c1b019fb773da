"""The bits that weights take in a packed file, brought down while they train."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float
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

    Source: Golomb 1966, "Run-length encodings", for the geometric code.
    """

    zero: Float[Tensor, ""]
    one: Float[Tensor, ""]
    unit: Float[Tensor, ""]
    total: Float[Tensor, ""]

    @classmethod
    def of(cls, units: Float[Tensor, "..."]) -> "Code":
        """The one that suits best, by maximum likelihood, the integers that numbers round to."""
        whole = units.abs().round()
        count = whole.numel()
        others, size = torch.count_nonzero(whole), whole.sum()
        is_zero = (count - others + 0.5) / (count + 1)
        goes_on = (1 - (others + 0.5) / (size + 1)).clamp(0.05, 1 - 1e-6)
        zero, unit = -torch.log2(is_zero), -torch.log2(goes_on)
        one = 1 - torch.log2(1 - is_zero) - torch.log2(1 - goes_on)
        total = (count - others) * zero + others * one + (size - others) * unit
        return cls(zero, one, unit, total)

    def slopes(self, size: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Bits a unit more would take; the way to zero is never the cheaper part of it.

        The code is the best one for the numbers, so that it moves no bits in first order when it
        follows them.

        Args:
            size: Of numbers, 0 or more.
        """
        return torch.where(size <= 1, torch.maximum(self.one - self.zero, self.unit), self.unit)


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
        codes = [Code.of(own) for own in units]
        slopes = [code.slopes(own.abs()) for code, own in zip(codes, units, strict=True)]
        squares = [float(layer.step) ** 2 for layer in layers]
        strength = (
            self._too_many(codes, units, step / steps) * _GAIN / _power(units, slopes, squares)
        )
        for layer, own, slope, square in zip(layers, units, slopes, squares, strict=True):
            pull = (strength / square * slope).clamp_max(_LONGEST)
            left = (own.abs() - pull).clamp_min(0) * own.sign()
            self._hold(layer, left)
            # a weight under a mask is zero here, and stays as it is
            layer.original.copy_(torch.where(own == 0, layer.original, left * layer.step))

    def _hold(self, layer: SteppedLayer, units: Float[Tensor, "..."]) -> None:
        """Keeps channels at zero that were there after the last step."""
        rows = units.movedim(layer.channel_axis, 0)
        gone = self._state.gone.get(layer.name)
        if gone is not None:
            rows[gone] = 0.0
        self._state.gone[layer.name] = (rows.abs() <= 0.5).flatten(1).all(1)

    def _too_many(self, codes: Sequence[Code], units: Sequence[Tensor], share: float) -> float:
        """The bits over those wanted where a share of the training is over."""
        count = sum(own.numel() for own in units)
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

    def penalty(self, _module: nn.Module, /) -> Tensor | None:
        """Nothing: the loss does not see it."""
        return None


def _power(units: Sequence[Tensor], slopes: Sequence[Tensor], squares: Sequence[float]) -> float:
    """The bits that go for a strength of 1, of weights that are not rounded to zero."""
    found = sum(
        float(slope[own.abs() > 0.5].square().sum()) / square
        for own, slope, square in zip(units, slopes, squares, strict=True)
    )
    return max(found, 1e-30)
