"""Rounding as something that can be learned: up or down, and for a while in between.

Source: Nagel et al. 2020, "Up or Down? Adaptive Rounding for Post-Training Quantization", eq. 22
to 24.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from lilliput.core import IntegerType

__all__ = ["SoftRounding", "pressure"]

_STRETCH = 1.1, -0.1
"""The sigmoid is stretched to these ends, so that 0 and 1 are reached: zeta and gamma there."""
_NEAREST = 0.45
_FREE = 0.2
"""Share of the steps that come before any penalty."""
_FIRST_POWER, _LAST_POWER = 4.0, 2.0
_FIRST_WEIGHT, _LAST_WEIGHT = 0.1, 100.0


class SoftRounding(nn.Module):
    """Codes between two integers each, which `penalty` drives to one of them.

    It begins where the weights are, but no farther from the codes given than that rounding it
    gives them back.

    Args:
        wish: Weights divided by their scales, zero point added.
        codes: To begin with.
        kind: The integers.
    """

    def __init__(
        self, wish: Float[Tensor, "*shape"], codes: Int[Tensor, "*shape"], kind: IntegerType
    ) -> None:
        super().__init__()
        away = (wish - codes).clamp(-_NEAREST, _NEAREST)
        # a code at an end of the integers has a neighbour on one side only
        away = torch.where(codes == kind.high, away.clamp_max(0.0), away)
        away = torch.where(codes == kind.low, away.clamp_min(0.0), away)
        is_below = (away < 0) | (codes == kind.high)
        self.below = codes - is_below.to(codes.dtype)
        share = away + is_below.to(away.dtype)
        high, low = _STRETCH
        self.logits = nn.Parameter(torch.logit((share - low) / (high - low)))

    def share(self) -> Float[Tensor, "..."]:
        """How far up from the lower integer, 0 to 1."""
        high, low = _STRETCH
        return (self.logits.sigmoid() * (high - low) + low).clamp(0.0, 1.0)

    def forward(self) -> Float[Tensor, "..."]:
        """The codes as they are now."""
        return self.below + self.share()

    def penalty(self, power: float) -> Float[Tensor, "..."]:
        """What it costs each code to be between integers, 0 to 1.

        Args:
            power: The higher, the more the middle is left in peace.
        """
        penalty: Tensor = 1 - (2 * self.share() - 1).abs().pow(power)
        return penalty

    def rounded(self) -> Int[Tensor, "..."]:
        """The nearer integers."""
        return self.below + (self.share() >= 0.5).to(self.below.dtype)


def pressure(done: float) -> tuple[float, float] | None:
    """What the penalty weighs, and its power; None as long as there is none.

    In the paper the weight stays and there are 10,000 steps. A weight that grows makes up its mind
    about codes that matter little first, and lets the others make up for it, in a tenth of those.

    Args:
        done: Share of the steps that are done, 0 to 1.

    Source: Nagel et al. 2020, section 4: a start without penalty, a falling power.
    """
    if done < _FREE:
        return None
    share = (done - _FREE) / (1 - _FREE)
    power = _FIRST_POWER + (_LAST_POWER - _FIRST_POWER) * share
    return _FIRST_WEIGHT * (_LAST_WEIGHT / _FIRST_WEIGHT) ** share, power
