"""Probabilities of binary decisions, mixed from counters and from densities.

The oracle of `decoder/mixer.h`: the same integers, one by one.

Source: Mahoney 2005, "Adaptive weighing of context models for lossless data compression", for
mixing in the logistic domain.
"""

from functools import cache

from lilliput.pack.range_coder import BitCoder

__all__ = ["Mean", "Mixer", "logarithm"]

Mean = tuple[int, int]
"""A mean, and of how many."""

_COUNTERS, _DENSITIES, _KINDS, _SETS = 3, 3, 32, 26
_MOST_STRETCH, _MOST_COUNT = 2047, 1000
_MOST_WEIGHT = (1 << 17) - 1
_BIAS = 128
_DECAY = 1069555606
"""2^30 exp(-1 / 256)."""


@cache
def _fractions() -> list[int]:
    """Logarithms to base 2 of 1 + i / 256, in 65,536ths, digit by digit."""
    found = []
    for place in range(256):
        square, digits = (256 + place) << 22, 0
        for _ in range(16):
            square = square * square >> 30
            digits = digits << 1 | square >> 31
            square >>= square >> 31
        found.append(digits)
    return found


def logarithm(value: int) -> int:
    """Natural logarithm in 256ths."""
    digits = value.bit_length() - 1
    rest = value >> (digits - 8) if digits > 8 else value << (8 - digits)
    return ((digits << 16) + _fractions()[rest & 255]) * 181704 >> 26


def _within(value: int, most: int) -> int:
    return max(-most, min(value, most))


@cache
def _squash() -> list[int]:
    """Probabilities in 65,536ths of logistic values from -8 on, in 256ths."""
    found = [0] * 4096
    power = 1 << 30
    for place in range(2048):
        above = (1 << 46) // ((1 << 30) + power)
        found[2048 + place] = above
        found[2048 - place] = 65536 - above
        power = power * _DECAY >> 30
    return found


@cache
def _stretch() -> list[int]:
    return [
        _within(logarithm(2 * place + 1) - logarithm(8191 - 2 * place), _MOST_STRETCH)
        for place in range(4096)
    ]


def approached(mean: Mean, value: int, most: int) -> Mean:
    """A mean that takes another value in.

    Args:
        mean: Before.
        value: Whole and not negative.
        most: From where on the count stays.
    """
    before, times = mean
    part = 655360 // (10 * times + 16)
    step = abs(value - before) * part >> 16
    return (before + step if value >= before else before - step), min(times + 1, max(most, times))


class Mixer:
    """What is known of decisions.

    Args:
        coder: Codes them.
    """

    def __init__(self, coder: BitCoder) -> None:
        self.coder = coder
        self.contexts = [0] * _COUNTERS
        self.set = 1
        self._counters: dict[tuple[int, int, int], Mean] = {}
        start = [6554] * _COUNTERS + [13107] * _DENSITIES + [0]
        self._weights = [[list(start) for _ in range(_KINDS)] for _ in range(_SETS)]
        self._times = [[0] * _KINDS for _ in range(_SETS)]

    def plain(self, odds: int, bit: int) -> int:
        """Codes a decision of known odds."""
        return self.coder.decide(_squash()[2048 + odds], bit)

    def learned(self, node: int, kind: int, odds: list[int], bit: int) -> int:
        """Codes a decision, and learns of it.

        Args:
            node: Which decision it is, for counters.
            kind: The same, for weights.
            odds: What densities say of it, as logarithms.
            bit: What is decided; of no account when decoding.
        """
        places = [(i, context, node) for i, context in enumerate(self.contexts)]
        seen = [self._counters.get(place) for place in places]
        inputs = [_stretch()[one[0] >> 10] if one else odds[0] for one in seen] + [*odds, _BIAS]
        found = [self._mixed(which, kind, inputs) for which in (0, self.set)]
        bit = self.coder.decide(_squash()[2048 + (sum(found) >> 1)], bit)
        for which, value in zip((0, self.set), found, strict=True):
            self._learn(which, kind, inputs, (bit << 16) - _squash()[2048 + value])
        for place, one in zip(places, seen, strict=True):
            before = one or (_squash()[2048 + odds[0]] << 6, 0)
            self._counters[place] = approached(before, 4194303 if bit else 0, _MOST_COUNT)
        return bit

    def _mixed(self, which: int, kind: int, inputs: list[int]) -> int:
        weights = self._weights[which][kind]
        whole = sum(weight * value for weight, value in zip(weights, inputs, strict=True))
        return _within(whole >> 16, _MOST_STRETCH)

    def _learn(self, which: int, kind: int, inputs: list[int], error: int) -> None:
        times = self._times[which][kind]
        step = error * (66 + 5243 // (4 + (times >> 4))) >> 10
        self._weights[which][kind] = [
            _within(weight + ((value * step + (1 << 13)) >> 14), _MOST_WEIGHT)
            for weight, value in zip(self._weights[which][kind], inputs, strict=True)
        ]
        self._times[which][kind] = min(times + 1, 65535)
