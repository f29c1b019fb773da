"""Steps by tensor: fine where the outputs mind, coarse where many weights would take many bits."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lilliput.core.progress import track
from lilliput.quantize.coded.curve import Choice, curve
from lilliput.quantize.coded.stepped import Seen, Stepped

__all__ = ["Allotment", "allotment_of", "refined"]

_SEEN = 0.01
"""The distance at which a tensor's share of it is measured: small, and far above rounding."""
_TRIES = 4
_NEAR = 4.0


@dataclass(frozen=True, eq=False)
class Allotment:
    """What each tensor takes at each step, and what that does to the outputs.

    Args:
        curves: Of each tensor.
        slopes: Of each tensor, the distance of outputs for each unit of mean squared error.

    Distances of small independent errors add up, and grow with the error's square.
    """

    curves: Mapping[str, Sequence[Choice]]
    slopes: Mapping[str, float]

    def at(self, price: float) -> dict[str, Choice]:
        """The steps of least bits and distance together.

        Args:
            price: Bits that a unit of distance is worth.

        Source: Shoham and Gersho 1988, "Efficient bit allocation for an arbitrary set of
        quantizers", section III.
        """
        return {
            name: min(own, key=lambda c: c.bits + price * self.slopes[name] * c.error)
            for name, own in self.curves.items()
        }

    def with_slopes(self, slopes: Mapping[str, float]) -> "Allotment":
        """The same with other slopes for some tensors."""
        return replace(self, slopes={**self.slopes, **slopes})


def allotment_of(stepped: Stepped, seen: Seen) -> Allotment:
    """Rounds one tensor at a time, and looks how far the outputs move.

    Args:
        stepped: A network that does not round yet.
        seen: What its outputs are compared with.
    """
    curves = {weight.name: curve(weight.value) for weight in stepped.weights}
    slopes = {}
    for weight, distance_at in track(stepped.one_by_one(seen), "sensitivity", len(stepped.weights)):
        own = curves[weight.name]
        place = len(own) // 2
        for _ in range(_TRIES):
            choice = own[place]
            found = distance_at(choice.step)
            if choice.error > 0 and math.isfinite(found):
                slopes[weight.name] = max(found, 1e-12) / choice.error
            if _SEEN / _NEAR < found < _SEEN * _NEAR:
                break
            # an octave of the step is a factor of 4 of the distance; 4 places are an octave
            wish = place + round(2 * math.log2(_SEEN / max(found, 1e-9)))
            wish = min(max(wish, 0), len(own) - 1)
            if wish == place:
                break
            place = wish
    # a weight that nothing reads does nothing
    return Allotment(curves, {name: slopes.get(name, 0.0) for name in curves})


def refined(
    allotment: Allotment, chosen: Mapping[str, Choice], stepped: Stepped, seen: Seen
) -> Allotment:
    """Slopes measured again at steps that are likely, again one tensor at a time.

    While all are rounded, what one of them adds is lost in how its error meets those of the others.

    Args:
        allotment: What is known so far.
        chosen: The steps.
        stepped: A network that does not round yet.
        seen: What its outputs are compared with.
    """
    slopes = {}
    for weight, distance_at in track(stepped.one_by_one(seen), "refine", len(stepped.weights)):
        choice = chosen[weight.name]
        found = distance_at(choice.step)
        if choice.error > 0 and math.isfinite(found):
            slopes[weight.name] = max(found, 1e-12) / choice.error
    return allotment.with_slopes(slopes)
