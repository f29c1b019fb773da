"""How a block is best coded: its middle, its prediction, its alphabet, the classes of its lines."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lilliput.pack.classes import MOST_LINES, Classes, Spread, Way, shape_of
from lilliput.pack.plan import Draft, Method
from lilliput.pack.predict import Kernel, Prediction, fitted_prediction, prediction_bits
from lilliput.pack.tables import TOTAL, Counts
from lilliput.pack.tokens import ALPHABET, Alphabet, Integers, Words, fold
from lilliput.pack.weigh import Times, Tokens, Weigh, entropy_bits, weigh_tokens

__all__ = ["draft_block", "middle_of"]

_ALPHABETS = ((256, 0), (128, 3), (64, 2), (24, 1), (8, 0))
"""Direct tokens, and steps for numbers above, that are tried."""
_SAMPLE = 4096
_CLEARLY = 0.995
"""What is predicted with so much less is not tried without."""
_NEARLY = 1.01
"""An alphabet with more times the bits is not tried."""
_DENSE = 1 << 16
"""Folded numbers below are counted one by one."""
_PLAIN = Way(False, False, 1)


def draft_block(
    values: Integers,
    columns: int,
    kernels: Sequence[Kernel] = (),
    like: Method | None = None,
    weigh: Weigh = weigh_tokens,
) -> Draft:
    """Chooses how a block is coded.

    Args:
        values: At least one.
        columns: Integers in a row; rows are whole wherever classes are to be told apart.
        kernels: Where taps of filters may be; in the others no integer is predicted.
        like: How another block is coded, whose alphabet and way to find classes are taken over.
        weigh: What says how many bits tokens take.
    """
    middle = middle_of(values)
    views = [
        view
        for own in (middle, *_middle_of_bytes(values, middle))
        for view in _views(values, own, columns, kernels, like)
    ]
    found = [_in_classes(view, like.way if like else None, weigh) for view in views]
    best = min(range(len(views)), key=lambda place: found[place].bits)
    view, fit = views[best], found[best]
    for alphabet in view.alphabets[1:]:
        other = view.fit(alphabet, fit.classes, fit.way, weigh)
        fit = other if other.bits < fit.bits else fit
    method = Method(view.middle, view.prediction, fit.alphabet, fit.classes, fit.way)
    return Draft(method, fit.counts.astype(np.int64), view.folded, view.tokens(fit.alphabet))


def middle_of(values: Integers) -> int:
    """What integers lie around: 0, or else the median of a sample."""
    sample = np.sort(values[:: max(1, len(values) // _SAMPLE)])
    low, middle, high = sample[[len(sample) // 4, len(sample) // 2, 3 * len(sample) // 4]]
    return 0 if low <= 0 <= high else int(middle)


def _middle_of_bytes(values: Integers, middle: int) -> list[int]:
    """Around which as many numbers as tokens lie, if these are too few around the other middle."""
    low, high = int(values.min()), int(values.max())
    is_far = 2 * max(high - middle, middle - low) >= ALPHABET
    return [(low + high + 1) // 2] if is_far and high - low < ALPHABET else []


class _Fit(NamedTuple):
    """A way to code a block.

    Args:
        bits: That it is likely to take.
        alphabet: Of its tokens.
        classes: Of its lines.
        way: How they were found.
        counts: How often each token occurs, table by table.
    """

    bits: float
    alphabet: Alphabet
    classes: Classes
    way: Way
    counts: Times


@dataclass(frozen=True, eq=False)
class _View:
    """A block as it would be coded.

    Args:
        folded: Its integers, of shape (rows, columns).
        middle: What they lie around.
        prediction: That was taken away from them.
        like: How another block is coded, whose alphabet is taken over.
    """

    folded: Words
    middle: int
    prediction: Prediction | None
    like: Method | None

    @cached_property
    def levels(self) -> tuple[Words, Counts]:
        """The folded numbers there are, and how often."""
        flat = self.folded.reshape(-1)
        if flat.max() >= _DENSE:
            numbers, times = np.unique(flat, return_counts=True)
            return numbers, times.astype(np.int64)
        counts = np.bincount(flat)
        found = np.flatnonzero(counts)
        return found.astype(np.uint32), counts[found]

    @cached_property
    def bits(self) -> float:
        """What the block would take without tables and classes."""
        return entropy_bits(self.levels[1]) + self._said

    @cached_property
    def _said(self) -> int:
        return prediction_bits(self.prediction)

    @cached_property
    def alphabets(self) -> list[Alphabet]:
        """The alphabet whose bits are fewest without classes, or two that are nearly equal."""
        numbers, times = self.levels
        largest = int(numbers[-1])
        if self.like:
            own = self.like.alphabet
            alphabet = Alphabet.holding(own.direct, own.steps, largest)
            if alphabet.classes and alphabet.size <= ALPHABET:
                return [alphabet]
        found: list[tuple[float, int, Alphabet]] = []
        for place, (direct, steps) in enumerate(_ALPHABETS if largest >= 40 else _ALPHABETS[:1]):
            alphabet = Alphabet.holding(direct, steps, largest)
            if alphabet.size > ALPHABET or alphabet in [one for _, _, one in found]:
                continue
            weighted = np.bincount(alphabet.tokens(numbers), times, alphabet.size)
            counts = weighted.astype(np.float64)
            used = np.flatnonzero(counts)
            bits = _floored(counts[used]) + float(counts @ alphabet.bits) + 8 * len(used)
            found.append((bits, place, alphabet))
        found = sorted(found)[:2]
        return [alphabet for bits, _, alphabet in found if bits < _NEARLY * found[0][0]]

    def tokens(self, alphabet: Alphabet) -> Tokens:
        """Of each integer."""
        if alphabet not in self._tokens:
            self._tokens[alphabet] = alphabet.tokens(self.folded)
        return self._tokens[alphabet]

    @cached_property
    def _tokens(self) -> dict[Alphabet, Tokens]:
        return {}

    def fit(self, alphabet: Alphabet, classes: Classes, way: Way, weigh: Weigh) -> _Fit:
        """What the block is likely to take so."""
        bits, counts = weigh(self.tokens(alphabet), classes, alphabet)
        return _Fit(self._said + bits, alphabet, classes, way, counts)


def _views(
    values: Integers, middle: int, columns: int, kernels: Sequence[Kernel], like: Method | None
) -> list[_View]:
    """The block as it is, and what is left of it in the best prediction, if that may pay."""
    distances = (values.view(np.uint32) - np.uint32(middle & 0xFFFFFFFF)).view(np.int32)
    shape = shape_of(len(values), columns)
    plain = _View(fold(distances, 0).reshape(shape), middle, None, like)
    predictions = [
        fitted_prediction(distances, kernel) for kernel in kernels if not len(values) % kernel.size
    ]
    views = [
        _View(fold(prediction.left(distances), 0).reshape(shape), middle, prediction, like)
        for prediction in predictions
        if prediction is not None
    ]
    if not views:
        return [plain]
    best = min(views, key=lambda view: view.bits)
    if best.bits < _CLEARLY * plain.bits:
        return [best]
    return [plain, best] if best.bits < plain.bits / _CLEARLY else [plain]


def _in_classes(view: _View, way: Way | None, weigh: Weigh) -> _Fit:
    """The best way to tell the lines of a block apart: first which lines, then how finely."""
    folded, alphabet = view.folded, view.alphabets[0]
    rows, columns = folded.shape
    if max(rows, columns) > MOST_LINES:
        return view.fit(alphabet, Classes(None, None), _PLAIN, weigh)
    spread = Spread.of(np.ceil(folded.astype(np.float32) * np.float32(0.5)))

    def found(way: Way) -> _Fit:
        return view.fit(alphabet, spread.classes(way), way, weigh)

    if way:
        return found(way)
    lines = [(True, False), (False, True), (True, True)]
    lines = [(r, c) for r, c in lines if (rows > 1 or not r) and (columns > 1 or not c)]
    best = min(map(found, [_PLAIN, *(Way(r, c, 2) for r, c in lines)]), key=lambda one: one.bits)
    if best.way == _PLAIN:
        return best
    others = [Way(best.way.has_rows, best.way.has_columns, steps) for steps in (1, 4)]
    return min([best, *map(found, others)], key=lambda one: one.bits)


def _floored(counts: npt.NDArray[np.float64]) -> float:
    """Bits of tokens that occur so often, none of them cheaper than a frequency of 1 allows."""
    share = np.maximum(counts / counts.sum(), 1 / TOTAL)
    return float(counts @ np.log2(share.sum() / share))
